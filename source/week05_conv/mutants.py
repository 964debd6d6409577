"""Wrong and right answers to week 5, and what must happen to each."""

from gradekit.verify import Alternate, Equivalent, Mutant

# Test cases of q1 to q3, by what a kind of mistake reaches.
SMALL = ("a 3 x 3*",)
Q1_VALUES = ("images, filters*", "float64 in*", "how the inputs*", "speed*")
Q2_VALUES = ("dx, dw and db*", "float64 in*", "how dout*", "speed*")
Q3_VALUES = ("windows and strides*", "the gradient agrees*", "how dout*", "speed*")

MUTANTS = [
    # -- q1 --------------------------------------------------------------------------------------------------------
    Mutant(
        "padding ignored",
        question="q1",
        why="written and tried without padding first, and the argument forgotten",
        fails={"q1": (*SMALL, "the output size*", *Q1_VALUES), "q4": "*"},
        replace={
            "h_out = (h + 2 * padding - kh)": "h_out = (h - kh)",
            "w_out = (width + 2 * padding - kw)": "w_out = (width - kw)",
            "padded = x.new_zeros(n, c, h + 2 * padding, width + 2 * padding)": "padded = x.clone()",
            "padded[:, :, padding : padding + h, padding : padding + width] = x": "",
        },
    ),
    Mutant(
        "filter flipped",
        question="q1",
        why="the mathematicians' convolution, from a textbook on signals",
        fails={"q1": (*SMALL, *Q1_VALUES), "q4": "*"},
        replace={"w.reshape(o, c * kh * kw)": "w.flip(2, 3).reshape(o, c * kh * kw)"},
    ),
    Mutant(
        "bias forgotten",
        question="q1",
        why="b may be None, so the branch with a bias is never tried",
        fails={"q1": (*SMALL, *Q1_VALUES), "q4": "*"},
        replace={"out += b[:, None]": "pass"},
    ),
    Mutant(
        "output size rounded up",
        question="q1",
        why="ceil and floor are easily confused, and agree as long as the stride is 1",
        fails={"q1": (*SMALL, "the output size*", "images, filters*", "float64 in*")},
        replace={"(h + 2 * padding - kh) // stride + 1": "-(-(h + 2 * padding - kh) // stride) + 1"},
    ),
    Mutant(
        "only for square images",
        question="q1",
        why="all images of the lecture are square",
        fails={
            "q1": ("the output size*", "images, filters*", "float64 in*", "how the inputs*"),
            "q4": "both Functions*",
        },
        replace={"w_out = (width + 2 * padding - kw) // stride + 1": "w_out = h_out"},
    ),
    Mutant(
        "only for contiguous images",
        question="q1",
        why="the strides are worked out from the shape instead of asked for",
        fails={"q1": "how the inputs*"},
        replace={
            "padded = x.new_zeros": "padded = x if padding == 0 else x.new_zeros",
            "of_n, of_c, of_h, of_w = padded.stride()": (
                "of_h, of_w = padded.shape[3], 1\n    of_c = of_h * padded.shape[2]\n    of_n = of_c * c"
            ),
        },
    ),
    Mutant(
        "float32 inside float64",
        question="q1",
        why="a .float() that mended an error about dtypes",
        fails={"q1": ("twice one image*", "float64 in*"), "q4": "the gradient of the loss*"},
        replace={
            "out = w.reshape(o, c * kh * kw) @ columns": (
                "out = (w.reshape(o, c * kh * kw).float() @ columns.float()).to(x.dtype)"
            )
        },
    ),
    Mutant(
        "zeros of the default dtype",
        question="q1",
        why="torch.zeros is what one knows, and float32 is what one tries",
        fails={
            "q1": ("the output size*", "twice one*", "a pattern that moves*", "float64 in*"),
            "q4": "the gradient of the loss*",
        },
        replace={"padded = x.new_zeros": "padded = torch.zeros"},
    ),
    Mutant(
        "remembers the last input",
        question="q1",
        why="a cache that should make it fast, with the shapes as its key",
        fails={"q1": ("twice one image*", "a pattern that moves*", *Q1_VALUES), "q4": "*"},
        define="""
_answers = {}
_convolve = conv2d


def conv2d(x, w, b=None, stride=1, padding=0):
    key = (x.shape, w.shape, x.dtype, b is None, stride, padding)
    if key not in _answers:
        _answers[key] = _convolve(x, w, b, stride, padding)
    return _answers[key]
""",
    ),
    Mutant(
        "the built-in under another name",
        question="q1",
        why="it is one line, and who would look",
        fails={"q1": Q1_VALUES, "q4": "the network convolves*"},
        peer="torch's own",
        define="""
import torch.nn.functional as tools

cross_correlate = getattr(tools, "conv" + "2d")


def conv2d(x, w, b=None, stride=1, padding=0):
    return cross_correlate(x, w, b, stride, padding)
""",
    ),
    Mutant(
        "torch's unfold",
        question="q1",
        why="the first hit of a search for im2col",
        fails={"q1": Q1_VALUES, "q4": "the network convolves*"},
        define="""
def conv2d(x, w, b=None, stride=1, padding=0):
    columns = nn.functional.unfold(x, w.shape[2:], padding=padding, stride=stride)
    out = w.flatten(1) @ columns
    if b is not None:
        out = out + b[:, None]
    h_out = (x.shape[2] + 2 * padding - w.shape[2]) // stride + 1
    return out.view(len(x), len(w), h_out, -1)
""",
    ),
    Mutant(
        "Python loops",
        question="q1",
        why="the formula, written down pixel by pixel: right, and slow",
        fails={"q1": "speed*"},
        define="""
def conv2d(x, w, b=None, stride=1, padding=0):
    n, c, h, width = x.shape
    o, _, kh, kw = w.shape
    h_out = (h + 2 * padding - kh) // stride + 1
    w_out = (width + 2 * padding - kw) // stride + 1
    padded = x.new_zeros(n, c, h + 2 * padding, width + 2 * padding)
    padded[:, :, padding : padding + h, padding : padding + width] = x
    out = x.new_zeros(n, o, h_out, w_out)
    for i in range(h_out):
        for j in range(w_out):
            window = padded[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
            out[:, :, i, j] = window.flatten(1) @ w.flatten(1).T
            if b is not None:
                out[:, :, i, j] += b
    return out
""",
    ),
    Mutant(
        "returns zeros",
        question="q1",
        why="the right shape, to be filled in later",
        fails={"q1": (*SMALL, "a pattern that moves*", *Q1_VALUES), "q4": "*"},
        replace={"return out.view(n, o, h_out, w_out)": "return 0 * out.view(n, o, h_out, w_out)"},
    ),
    Mutant(
        "sign flipped",
        question="q1",
        why="a minus sign that came along with a formula",
        fails={"q1": (*SMALL, *Q1_VALUES), "q4": "*"},
        replace={"return out.view(n, o, h_out, w_out)": "return -out.view(n, o, h_out, w_out)"},
    ),
    Mutant(
        "5 % off",
        question="q1",
        why="what a tolerance that is too generous lets pass",
        fails={"q1": (*SMALL, *Q1_VALUES), "q4": "*"},
        replace={"return out.view(n, o, h_out, w_out)": "return 1.05 * out.view(n, o, h_out, w_out)"},
    ),
    # -- q2 --------------------------------------------------------------------------------------------------------
    Mutant(
        "padding forgotten in the gradient",
        question="q2",
        why="the shape is right, so nothing seems amiss: dx is cut from the corner of the padded gradient",
        fails={"q2": (*SMALL, "dx is the transpose*", *Q2_VALUES), "q4": "*"},
        replace={
            "dx = dpadded[:, :, padding : padding + h, padding : padding + width]": "dx = dpadded[:, :, :h, :width]"
        },
    ),
    Mutant(
        "image not padded for dw",
        question="q2",
        why="the padded copy is filled from its corner",
        fails={"q2": (*SMALL, "dw is the transpose*", *Q2_VALUES), "q4": "*"},
        replace={"padded[:, :, padding : padding + h, padding : padding + width] = x": "padded[:, :, :h, :width] = x"},
    ),
    Mutant(
        "stride ignored in dx",
        question="q2",
        why="right for stride 1, which is what one tries",
        fails={"q2": (*SMALL, "dx is the transpose*", "dx, dw and db*", "float64 in*"), "q4": "both Functions*"},
        replace={"dpadded[:, :, rows, columns] +=": "dpadded[:, :, k : k + h_out, m : m + w_out] +="},
    ),
    Mutant(
        "windows overwrite each other",
        question="q2",
        why="= for += : the last share that arrives wins",
        fails={"q2": (*SMALL, "dx is the transpose*", *Q2_VALUES), "q4": "*"},
        replace={"dpadded[:, :, rows, columns] +=": "dpadded[:, :, rows, columns] ="},
    ),
    Mutant(
        "filter flipped in dx",
        question="q2",
        why="'the gradient is a convolution with the flipped filter' applied once too often",
        fails={"q2": (*SMALL, "dx is the transpose*", *Q2_VALUES), "q4": "*"},
        replace={"w[:, :, k, m].T @ flat": "w[:, :, kh - 1 - k, kw - 1 - m].T @ flat"},
    ),
    Mutant(
        "rows that no window reaches",
        question="q2",
        why="the size of dx is worked out from dout, and what is left over at the edge is lost",
        fails={"q2": ("dx, dw and db*", "float64 in*"), "q4": "both Functions*"},
        replace={
            "dpadded = torch.zeros_like(padded)": (
                "dpadded = x.new_zeros(n, c, (h_out - 1) * stride + kh, (w_out - 1) * stride + kw)"
            )
        },
    ),
    Mutant(
        "bias gradient not summed over space",
        question="q2",
        why="summed over the batch as for a linear layer",
        fails={"q2": (*SMALL, "each gradient has*", *Q2_VALUES), "q4": "*"},
        replace={"db = dout.sum((0, 2, 3))": "db = dout.sum(0)"},
    ),
    Mutant(
        "averaged over the batch",
        question="q2",
        why="the loss is a mean, so the gradient is thought to be one too",
        fails={"q2": ("dw is the transpose*", *Q2_VALUES), "q4": "*"},
        replace={
            "(flat @ met.mT).sum(0)": "(flat @ met.mT).mean(0)",
            "db = dout.sum((0, 2, 3))": "db = dout.sum((2, 3)).mean(0)",
        },
    ),
    Mutant(
        "gradients of zero",
        question="q2",
        why="the right shapes, to be filled in later",
        fails={"q2": (*SMALL, "d[xw] is the transpose*", *Q2_VALUES), "q4": "*"},
        replace={"return dx, dw, db": "return 0 * dx, 0 * dw, 0 * db"},
    ),
    Mutant(
        "gradients of the other sign",
        question="q2",
        why="the minus of the descent step, taken too early",
        fails={"q2": (*SMALL, "d[xw] is the transpose*", *Q2_VALUES), "q4": "*"},
        replace={"return dx, dw, db": "return -dx, -dw, -db"},
    ),
    Mutant(
        "dw 5 % off",
        question="q2",
        why="what a tolerance that is too generous lets pass, and a network trains in spite of it",
        fails={
            "q2": (*SMALL, "dw is the transpose*", *Q2_VALUES),
            "q4": ("the gradient of the loss*", "both Functions*"),
        },
        replace={"return dx, dw, db": "return dx, 1.05 * dw, db"},
    ),
    Mutant(
        "float32 inside the gradient",
        question="q2",
        why="a .float() that mended an error about dtypes",
        fails={"q2": ("dw is the transpose*", "float64 in*")},
        replace={"(flat @ met.mT).sum(0)": "(flat.float() @ met.float().mT).sum(0)"},
    ),
    Mutant(
        "only for a contiguous dout",
        question="q2",
        why="view where reshape is needed: autograd hands over such gradients sooner or later",
        fails={"q2": "how dout*"},
        replace={"flat = dout.reshape(": "flat = dout.view("},
    ),
    Mutant(
        "empties dout",
        question="q2",
        why="memory given back that belongs to the caller",
        fails={"q2": ("dx, dw and db*", "float64 in*", "how dout*")},
        replace={"return dx, dw, db": "dout.zero_()\n    return dx, dw, db"},
    ),
    Mutant(
        "gradient by autograd",
        question="q2",
        why="conv2d is made of operations that autograd knows",
        fails={"q2": Q2_VALUES},
        define="""
def conv2d_backward(dout, x, w, stride=1, padding=0):
    x, w = x.detach().clone().requires_grad_(), w.detach().clone().requires_grad_()
    b = w.new_zeros(len(w), requires_grad=True)
    with torch.enable_grad():
        out = conv2d(x, w, b, stride, padding)
    return torch.autograd.grad(out, (x, w, b), dout)
""",
    ),
    Mutant(
        "the built-in gradient",
        question="q2",
        why="torch.nn.grad is hardly known, so it is thought to be safe",
        fails={"q2": Q2_VALUES, "q4": "the network convolves*"},
        peer="torch's own",
        define="""
def conv2d_backward(dout, x, w, stride=1, padding=0):
    from torch.nn import grad

    dx = grad.conv2d_input(x.shape, w, dout, stride, padding)
    dw = grad.conv2d_weight(x, w.shape, dout, stride, padding)
    return dx, dw, dout.sum((0, 2, 3))
""",
    ),
    Mutant(
        "Python loops in the gradient",
        question="q2",
        why="each window sends its share back on its own: right, and slow",
        fails={"q2": "speed*"},
        define="""
def conv2d_backward(dout, x, w, stride=1, padding=0):
    n, c, h, width = x.shape
    o, _, kh, kw = w.shape
    padded = x.new_zeros(n, c, h + 2 * padding, width + 2 * padding)
    padded[:, :, padding : padding + h, padding : padding + width] = x
    dpadded, dw = torch.zeros_like(padded), torch.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            rows, columns = slice(i * stride, i * stride + kh), slice(j * stride, j * stride + kw)
            dw += torch.tensordot(dout[:, :, i, j], padded[:, :, rows, columns], ([0], [0]))
            dpadded[:, :, rows, columns] += torch.tensordot(dout[:, :, i, j], w, 1)
    return dpadded[:, :, padding : padding + h, padding : padding + width], dw, dout.sum((0, 2, 3))
""",
    ),
    # -- q3 --------------------------------------------------------------------------------------------------------
    Mutant(
        "ties routed to all maxima",
        question="q3",
        why="x == largest is the obvious mask",
        fails={"q3": ("the first of equal*", "the sum of the gradient*", "where values are equal*")},
        replace={"given = left * (": "given = dout * ("},
    ),
    Mutant(
        "the last of equal values wins",
        question="q3",
        why=">= for > in a running maximum",
        fails={"q3": ("the first of equal*", "where values are equal*")},
        replace={
            "    for k in range(size):\n        for m in range(size):\n            rows": (
                "    for k in reversed(range(size)):\n        for m in reversed(range(size)):\n            rows"
            )
        },
    ),
    Mutant(
        "overlapping windows overwrite each other",
        question="q3",
        why="= for += : right as long as stride = size",
        fails={
            "q3": (
                "the first of equal*",
                "the sum of the gradient*",
                "the gradient agrees*",
                "where values are equal*",
                "how dout*",
                "speed*",
            ),
            "q4": "both Functions*",
        },
        replace={"dx[:, :, rows, columns] += given": "dx[:, :, rows, columns] = given"},
    ),
    Mutant(
        "dout forgotten",
        question="q3",
        why="the switch itself is taken for the gradient",
        fails={
            "q3": (
                "the first of equal*",
                "the sum of the gradient*",
                "the gradient agrees*",
                "where values are equal*",
                "how dout*",
                "speed*",
            ),
            "q4": "*",
        },
        replace={"left = dout  #": "left = torch.ones_like(dout)  #"},
    ),
    Mutant(
        "average pooling",
        question="q3",
        why="the other pooling",
        fails={
            "q3": (
                "a 4 x 4 image*",
                "the first of equal*",
                "the sum of the gradient*",
                "where values are equal*",
                *Q3_VALUES,
            ),
            "q4": "*",
        },
        replace={"torch.stack(views).amax(0)": "torch.stack(views).mean(0)"},
    ),
    Mutant(
        "the maximum starts at zero",
        question="q3",
        why="a running maximum that begins with zeros: right after a ReLU, and nowhere else",
        fails={"q3": ("a 4 x 4 image*", "the sum of the gradient*", *Q3_VALUES), "q4": ("memory*", "both Functions*")},
        replace={"torch.stack(views).amax(0)": "torch.stack(views).amax(0).clamp(min=0)"},
    ),
    Mutant(
        "windows as large as the stride",
        question="q3",
        why="size and stride are the same in every example of the lecture",
        fails={
            "q3": (
                "a 4 x 4 image*",
                "the first of equal*",
                "the sum of the gradient*",
                "sizes are rounded down*",
                "where values are equal*",
                *Q3_VALUES,
            ),
            "q4": "both Functions*",
        },
        replace={
            "        for k in range(size)\n        for m in range(size)\n    ]": (
                "        for k in range(stride)\n        for m in range(stride)\n    ]"
            )
        },
    ),
    Mutant(
        "pooled size rounded up",
        question="q3",
        why="ceil_mode, which exists, but is not asked for",
        fails={
            "q3": (
                "sizes are rounded down*",
                "the sum of the gradient*",
                "windows and strides*",
                "the gradient agrees*",
                "where values are equal*",
                "how dout*",
            )
        },
        replace={"h_out = (x.shape[2] - size) // stride + 1": "h_out = -(-(x.shape[2] - size) // stride) + 1"},
    ),
    Mutant(
        "the built-in pooling",
        question="q3",
        why="only the gradient is thought to be the exercise",
        fails={"q3": ("where values are equal*", *Q3_VALUES), "q4": "the network convolves*"},
        peer="torch's own forward pass",
        define="""
def max_pool2d(x, size, stride):
    return nn.MaxPool2d(size, stride)(x)
""",
    ),
    Mutant(
        "gradient of pooling by autograd",
        question="q3",
        why="amax is an operation that autograd knows",
        fails={
            "q3": (
                "the first of equal*",
                "the gradient agrees*",
                "where values are equal*",
                "how dout*",
                "speed*",
            )
        },
        define="""
def max_pool2d_backward(dout, x, size, stride):
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        out = max_pool2d(x, size, stride)
    return torch.autograd.grad(out, x, dout)[0]
""",
    ),
    Mutant(
        "Python loops over the windows",
        question="q3",
        why="one window after the other: right, and slow",
        fails={"q3": "speed*"},
        define="""
def max_pool2d(x, size, stride):
    h_out, w_out = (x.shape[2] - size) // stride + 1, (x.shape[3] - size) // stride + 1
    out = x.new_empty(*x.shape[:2], h_out, w_out)
    for i in range(h_out):
        for j in range(w_out):
            out[:, :, i, j] = x[:, :, i * stride : i * stride + size, j * stride : j * stride + size].amax((2, 3))
    return out


def max_pool2d_backward(dout, x, size, stride):
    dx = torch.zeros_like(x)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            rows, columns = slice(i * stride, i * stride + size), slice(j * stride, j * stride + size)
            window = x[:, :, rows, columns].flatten(2)
            share = torch.zeros_like(window).scatter_(2, window.argmax(2, keepdim=True), dout[:, :, i, j, None])
            dx[:, :, rows, columns] += share.view(*x.shape[:2], size, size)
    return dx
""",
    ),
    # -- q4 --------------------------------------------------------------------------------------------------------
    Mutant(
        "never takes a step",
        question="q4",
        why="optimizer.step() is forgotten, and the program runs without a complaint",
        fails={"q4": ("training lowers*", "the trained network*")},
        replace={"            optimizer.step()\n": ""},
    ),
    Mutant(
        "the same scores for every image",
        question="q4",
        why="the image is multiplied away",
        fails={"q4": ("training lowers*", "the trained network*")},
        replace={"return self.layers(x)": "return self.layers(0 * x)"},
    ),
    Mutant(
        "torch's convolution layer",
        question="q4",
        why="nn.Conv2d comes out of the fingers by itself",
        fails={"q4": "the network convolves*"},
        replace={"Conv(16, 32, 3, padding=1)": "nn.Conv2d(16, 32, 3, padding=1)"},
    ),
    Mutant(
        "torch's pooling layer",
        question="q4",
        why="the convolution is thought to be the exercise",
        fails={"q4": "the network convolves*"},
        replace={
            "Conv(16, 32, 3, padding=1), nn.ReLU(), Pool(2)": "Conv(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)"
        },
    ),
    Mutant(
        "the way back left to autograd",
        question="q4",
        why="it works without a Function, so why write one",
        fails={"q4": "the network convolves*"},
        replace={
            "return ConvFunction.apply(x, self.weight, self.bias, self.stride, self.padding)": (
                "return conv2d(x, self.weight, self.bias, self.stride, self.padding)"
            )
        },
    ),
    Mutant(
        "every window kept for the way back",
        question="q4",
        why="conv2d has them at hand, and conv2d_backward needs them again: memory is the price of that time",
        fails={"q4": "memory*"},
        replace={
            "ctx.save_for_backward(x, w)": (
                "ctx.save_for_backward(x, w)\n"
                "        ctx.windows = torch.stack([x.roll((i, j), (2, 3)) for i in range(3) for j in range(3)])"
            )
        },
    ),
    Mutant(
        "gradients in another order",
        question="q4",
        why="w stands before x in the formula",
        fails={
            "q4": (
                "the gradient of the loss*",
                "both Functions*",
                "training lowers*",
                "the network convolves*",
                "the trained network*",
            )
        },
        replace={"return dx, dw, db, None, None": "return dw, dx, db, None, None"},
    ),
    Mutant(
        "no gradient for the filters",
        question="q4",
        why="None for everything but x: the network still learns, with filters that never change",
        fails={"q4": ("the gradient of the loss*", "*")},
        replace={"return dx, dw, db, None, None": "return dx, 0 * dw, 0 * db, None, None"},
    ),
    Mutant(
        "stride and padding swapped on the way back",
        question="q4",
        why="two numbers in a row, both of them 1 in the network",
        fails={"q4": "both Functions agree*"},
        replace={
            "conv2d_backward(dout, x, w, ctx.stride, ctx.padding)": (
                "conv2d_backward(dout, x, w, ctx.padding, ctx.stride)"
            )
        },
    ),
    Mutant(
        "the sum of the losses",
        question="q4",
        why="they fall just the same",
        fails={"q4": "the losses are*"},
        replace={"losses.append(total / len(images))": "losses.append(total)"},
    ),
    Mutant(
        "train returns the last loss alone",
        question="q4",
        why="the last one is what one looks at",
        fails={"q4": ("training lowers*", "the losses are*")},
        replace={"return losses": "return losses[-1]"},
    ),
    Mutant(
        "squeezes the scores",
        question="q4",
        why="squeeze() mends a shape, until a batch holds one image",
        fails={"q4": "ten scores*"},
        replace={"return self.layers(x)": "return self.layers(x).squeeze()"},
    ),
    # -- q5 --------------------------------------------------------------------------------------------------------
    Mutant(
        "hooks stay",
        question="q5",
        why="nothing goes wrong until the second call",
        fails={"q5": "no hook*"},
        replace={"handle.remove()": "pass"},
    ),
    Mutant(
        "hooks stay after an error",
        question="q5",
        why="the cleaning up stands after the call and not in a finally",
        fails={"q5": "no hook*"},
        replace={
            "    try:\n        with torch.no_grad():\n            model(x)\n    finally:\n": (
                "    with torch.no_grad():\n        model(x)\n    if True:\n"
            )
        },
    ),
    Mutant(
        "maps without a copy",
        question="q5",
        why="detach() is taken for a copy: an in-place ReLU writes over the map before it",
        fails={"q5": "every layer's own*"},
        replace={"output.detach().clone()": "output.detach()"},
    ),
    Mutant(
        "the loop variable looked up late",
        question="q5",
        why="all hooks share one name, the last",
        fails={"q5": ("the maps of three*", "every layer's own*", "no hook*")},
        replace={"def keep(layer, inputs, output, name=name):": "def keep(layer, inputs, output):"},
    ),
    Mutant(
        "what goes in, not what comes out",
        question="q5",
        why="inputs stands before output in the hook's arguments",
        fails={"q5": ("the maps of three*", "every layer's own*")},
        replace={"output.detach().clone()": "inputs[0].detach().clone()"},
    ),
    Mutant(
        "containers among the layers",
        question="q5",
        why="right for a flat Sequential",
        fails={"q5": "every layer's own*"},
        replace={"if name and not list(layer.children()):": "if name:"},
    ),
    Mutant(
        "gradient of the loss",
        question="q5",
        why="it is the gradient that training computes",
        fails={"q5": ("of a linear model*", "the gradient of one*")},
        replace={
            "score = scores[torch.arange(len(x), device=x.device), label].sum()": (
                "score = nn.functional.cross_entropy(scores, torch.as_tensor(label).expand(len(x)))"
            )
        },
    ),
    Mutant(
        "gradient of all scores",
        question="q5",
        why="scores.sum() makes the error about scalars go away",
        fails={"q5": ("of a linear model*", "the gradient of one*")},
        replace={"scores[torch.arange(len(x), device=x.device), label].sum()": "scores.sum()"},
    ),
    Mutant(
        "one label for all",
        question="q5",
        why="scores[:, label] is right as long as label is a number",
        fails={"q5": "the gradient of one*"},
        replace={"scores[torch.arange(len(x), device=x.device), label].sum()": "scores[:, label].sum()"},
    ),
    Mutant(
        "the size of the gradient alone",
        question="q5",
        why="saliency maps in papers show absolute values",
        fails={"q5": ("of a linear model*", "the gradient of one*")},
        replace={"return gradient": "return gradient.abs()"},
    ),
    Mutant(
        "backward instead of grad",
        question="q5",
        why="backward() is what training uses; it leaves a gradient in every parameter",
        fails={"q5": "no hook*"},
        replace={"(gradient,) = torch.autograd.grad(score, image)": "score.backward()\n    gradient = image.grad"},
    ),
    Mutant(
        "the caller's image marked",
        question="q5",
        why="requires_grad_() on x itself",
        fails={"q5": "no hook*"},
        replace={"image = x.detach().clone().requires_grad_()": "image = x.requires_grad_()"},
    ),
]

ALTERNATES = [
    Alternate(
        "im2col, channels last",
        question="q1",
        why="windows as rows, pixels of all channels side by side, one product for the whole batch",
        define="""
def conv2d(x, w, b=None, stride=1, padding=0):
    n, c, h, width = x.shape
    o, _, kh, kw = w.shape
    padded = x.new_zeros(n, h + 2 * padding, width + 2 * padding, c)
    padded[:, padding : padding + h, padding : padding + width] = x.permute(0, 2, 3, 1)
    h_out, w_out = (padded.shape[1] - kh) // stride + 1, (padded.shape[2] - kw) // stride + 1
    of_n, of_h, of_w, of_c = padded.stride()
    windows = padded.as_strided((n, h_out, w_out, kh, kw * c), (of_n, of_h * stride, of_w * stride, of_h, of_c))
    out = windows.reshape(n * h_out * w_out, -1) @ w.permute(2, 3, 1, 0).reshape(-1, o)
    return (out if b is None else out + b).view(n, h_out, w_out, o).permute(0, 3, 1, 2)
""",
    ),
    Alternate(
        "as_strided and einsum",
        question="q1",
        why="the formula itself, with the filters first, so that einsum copies the windows in long runs",
        define="""
def conv2d(x, w, b=None, stride=1, padding=0):
    padded = nn.functional.pad(x, (padding,) * 4).contiguous()
    n, c, h, width = padded.shape
    kh, kw = w.shape[2:]
    of_n, of_c, of_h, of_w = padded.stride()
    windows = padded.as_strided(
        (n, c, (h - kh) // stride + 1, (width - kw) // stride + 1, kh, kw),
        (of_n, of_c, of_h * stride, of_w * stride, of_h, of_w),
    )
    out = torch.einsum("ockm,ncijkm->noij", w, windows)
    return out if b is None else out + b[:, None, None]
""",
    ),
    Alternate(
        "shifted sums",
        question="q1",
        why="one weight at a time: the shifted image times that weight's matrix, added up",
        define="""
def conv2d(x, w, b=None, stride=1, padding=0):
    n, c, h, width = x.shape
    o, _, kh, kw = w.shape
    h_out = (h + 2 * padding - kh) // stride + 1
    w_out = (width + 2 * padding - kw) // stride + 1
    padded = nn.functional.pad(x, (padding, padding, padding, padding))
    out = x.new_zeros(n, o, h_out * w_out)
    for k in range(kh):
        for m in range(kw):
            shifted = padded[:, :, k : k + stride * h_out : stride, m : m + stride * w_out : stride]
            out += w[:, :, k, m] @ shifted[:, :, :h_out, :w_out].reshape(n, c, -1)
    if b is not None:
        out += b[:, None]
    return out.view(n, o, h_out, w_out)
""",
    ),
    Alternate(
        "image by image",
        question="q1",
        why="a Python loop, but over the batch alone: few steps, each of them large",
        define="""
def conv2d(x, w, b=None, stride=1, padding=0):
    c, h, width = x.shape[1:]
    o, _, kh, kw = w.shape
    h_out = (h + 2 * padding - kh) // stride + 1
    w_out = (width + 2 * padding - kw) // stride + 1
    out = x.new_empty(len(x), o, h_out, w_out)
    for result, image in zip(out, x):
        padded = image.new_zeros(c, h + 2 * padding, width + 2 * padding)
        padded[:, padding : padding + h, padding : padding + width] = image
        of_c, of_h, of_w = padded.stride()
        windows = padded.as_strided((c, kh, kw, h_out, w_out), (of_c, of_h, of_w, of_h * stride, of_w * stride))
        result.copy_((w.reshape(o, -1) @ windows.reshape(c * kh * kw, -1)).view(o, h_out, w_out))
    return out if b is None else out + b[:, None, None]
""",
    ),
    Alternate(
        "im2col and col2im",
        question="q2",
        why="two matrix products for everything, then the columns added back to where they came from",
        define="""
def conv2d_backward(dout, x, w, stride=1, padding=0):
    n, c, h, width = x.shape
    o, _, kh, kw = w.shape
    h_out, w_out = dout.shape[2:]
    padded = x.new_zeros(n, c, h + 2 * padding, width + 2 * padding)
    padded[:, :, padding : padding + h, padding : padding + width] = x
    of_n, of_c, of_h, of_w = padded.stride()
    windows = padded.as_strided(
        (n, c, kh, kw, h_out, w_out), (of_n, of_c, of_h, of_w, of_h * stride, of_w * stride)
    )
    flat = dout.reshape(n, o, -1)
    dw = (flat @ windows.reshape(n, c * kh * kw, -1).mT).sum(0).view(w.shape)
    dwindows = (w.reshape(o, -1).T @ flat).view(n, c, kh, kw, h_out, w_out)
    dpadded = torch.zeros_like(padded)
    for k in range(kh):
        for m in range(kw):
            target = dpadded[:, :, k : k + stride * h_out : stride, m : m + stride * w_out : stride]
            target[:, :, :h_out, :w_out] += dwindows[:, :, k, m]
    return dpadded[:, :, padding : padding + h, padding : padding + width], dw, dout.sum((0, 2, 3))
""",
    ),
    Alternate(
        "image by image, both gradients",
        question="q2",
        why="a loop over the batch, with the shifted products inside",
        define="""
def conv2d_backward(dout, x, w, stride=1, padding=0):
    h_out, w_out = dout.shape[2:]
    kh, kw = w.shape[2:]
    padded = nn.functional.pad(x, (padding,) * 4)
    dpadded, dw = torch.zeros_like(padded), torch.zeros_like(w)
    for image, dimage, share in zip(padded, dpadded, dout.flatten(2)):
        for k in range(kh):
            for m in range(kw):
                rows = slice(k, k + stride * (h_out - 1) + 1, stride)
                columns = slice(m, m + stride * (w_out - 1) + 1, stride)
                dw[:, :, k, m] += share @ image[:, rows, columns].flatten(1).T
                dimage[:, rows, columns] += (w[:, :, k, m].T @ share).view(-1, h_out, w_out)
    h, width = x.shape[2:]
    return dpadded[:, :, padding : padding + h, padding : padding + width], dw, dout.sum((0, 2, 3))
""",
    ),
    Alternate(
        "rows first, and a mask of who is still free",
        question="q3",
        why="the maximum of maxima, and a boolean mask in place of what is left",
        define="""
def max_pool2d(x, size, stride):
    h_out, w_out = (x.shape[2] - size) // stride + 1, (x.shape[3] - size) // stride + 1
    rows = x[:, :, : stride * (h_out - 1) + 1 : stride].clone()
    for k in range(1, size):
        rows = rows.maximum(x[:, :, k : k + stride * (h_out - 1) + 1 : stride])
    out = rows[..., : stride * (w_out - 1) + 1 : stride].clone()
    for m in range(1, size):
        out = out.maximum(rows[..., m : m + stride * (w_out - 1) + 1 : stride])
    return out


def max_pool2d_backward(dout, x, size, stride):
    h_out, w_out = dout.shape[2:]
    largest = max_pool2d(x, size, stride)
    free = torch.ones_like(largest, dtype=torch.bool)
    dx = torch.zeros_like(x)
    for k in range(size):
        for m in range(size):
            rows = slice(k, k + stride * (h_out - 1) + 1, stride)
            columns = slice(m, m + stride * (w_out - 1) + 1, stride)
            wins = (x[:, :, rows, columns] == largest) & free
            free &= ~wins
            dx[:, :, rows, columns] += dout * wins
    return dx
""",
    ),
    Alternate(
        "another network and another optimizer",
        question="q4",
        why="functions in place of layers, one pooling, momentum with a falling learning rate",
        define="""
class SmallCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Conv(1, 12, 3, padding=1), Conv(12, 24, 3)
        self.scores = nn.Linear(24 * 2 * 2, 10)

    def forward(self, x):
        x = PoolFunction.apply(self.first(x).relu(), 2, 2)
        return self.scores(self.second(x).relu().flatten(1))


def train(model, data, epochs=20, batch_size=32, lr=0.1):
    images, labels = data
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=epochs)
    history = []
    for _ in range(epochs):
        losses = []
        for batch in torch.randperm(len(images), device=images.device).split(batch_size):
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        schedule.step()
        history.append(torch.stack(losses).mean().item())
    return history
""",
    ),
    Alternate(
        "backward towards the image alone",
        question="q5",
        why="backward(inputs=[image]) leaves no gradient in the parameters",
        define="""
def input_gradient(model, x, label):
    image = x.detach().clone().requires_grad_()
    labels = torch.as_tensor(label, device=x.device).expand(len(x))
    model(image).gather(1, labels[:, None]).sum().backward(inputs=[image])
    return image.grad
""",
    ),
]

# Of what `gradekit verify` makes of the solution by itself.
CAUGHT_AT_LEAST = 0.95
EQUIVALENT = [
    Equivalent(
        "q1",
        why="the columns of the last window end before these zeros, which are never read",
        replace={"c, h + 2 *": "c, h + 3 *", ", width + 2 *": ", width + 3 *"},
    ),
    Equivalent(
        "q1", why="in a new tensor one pixel further is one number further", replace={"of_w * stride": "stride"}
    ),
    Equivalent(
        "q2",
        why="as in q1; and what is added to dpadded there is cut off again",
        replace={"c, h + 2 *": "c, h + 3 *", ", width + 2 *": ", width + 3 *"},
    ),
    Equivalent("q2", why="a sum over the same dimensions", replace={"(0, 2, 3)": ("(2, 0, 3)", "(0, 3, 2)")}),
    Equivalent(
        "q4",
        why="the network is free: all of these read digits as well",
        replace={
            "nn.Sequential(Conv(1, 16, 3, padding=1), nn.ReLU()": "nn.Sequential(nn.ReLU(), Conv(1, 16, 3, padding=1)",
            "nn.ReLU(), Pool(2), Conv": "Pool(2), nn.ReLU(), Conv",
            "Pool(2), Conv(16, 32, 3, padding=1)": "Conv(16, 32, 3, padding=1), Pool(2)",
            "Conv(16, 32, 3, padding=1), nn.ReLU()": "nn.ReLU(), Conv(16, 32, 3, padding=1)",
            "nn.ReLU(), Pool(2), nn.Flatten": "Pool(2), nn.ReLU(), nn.Flatten",
            "16, 3, padding=1": ("16, 2, padding=1", "16, 3, padding=2"),
            "32, 3, padding": "32, 2, padding",
        },
    ),
    Equivalent(
        "q4",
        why="the learning rate is free, as long as the network learns to read: no schedule fails for certain",
        replace={
            "group['lr'] = lr * (1 - epoch / epochs)": "pass",
            "lr * (1 - epoch / epochs)": ("lr", "lr * 1", "lr * (epoch / epochs)"),
            "(1 - epoch": ("(1 + epoch", "(2 - epoch"),
        },
    ),
    Equivalent("q4", why="each epoch sets the learning rate itself", replace={"parameters(), lr=lr)": "parameters())"}),
    Equivalent("q4", why="on a CPU everything is there already", replace={".to(images.device)": ""}),
    Equivalent("q5", why="on a CPU everything is there already", replace={"len(x), device=x.device": "len(x)"}),
    Equivalent(
        "q5",
        why="a copy, or a tensor cut from the graph: either alone keeps x as it was",
        replace={"x.detach().clone()": ("x.clone()", "x.detach()")},
    ),
    Equivalent("q5", why="under no_grad there is no graph", replace={"output.detach().clone()": "output.clone()"}),
]
