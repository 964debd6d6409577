from __future__ import annotations

import pytest
import torch

from gradekit import check
from gradekit.check import CheckFailed


def output(conv2d, x, w):
    return conv2d(x, w)


def trained(conv2d, x, w):
    """The experiment's own body differentiates, and convolves."""
    w = w.clone().requires_grad_()
    loss = conv2d(x, w).sum() + torch.nn.functional.conv2d(x, w).sum()
    loss.backward()
    return w.grad


def built(make, x):
    return make()(x).detach()


def inputs(rng, device):
    return {"x": check.normal(rng, 2, 3, 8, 8, device=device), "w": check.normal(rng, 4, 3, 3, 3, device=device)}


FROM_SCRATCH = check.CONVOLUTION + check.UNFOLD + check.POOLING + check.AUTOGRAD

HIDDEN = {
    "called plainly": "def conv2d(x, w): return F.conv2d(x, w)",
    "the answer is the built-in": "conv2d = F.conv2d",
    "imported": "from torch.nn.functional import conv2d",
    "a partial": """
        from functools import partial
        conv2d = partial(F.conv2d, stride=1)
    """,
    "vmap of the built-in": "conv2d = torch.func.vmap(F.conv2d, in_dims=(0, None))",
    "an alias": """
        mine = torch.conv2d
        def conv2d(x, w): return mine(x, w)
    """,
    "getattr": "def conv2d(x, w): return getattr(F, 'con' + 'v2d')(x, w)",
    "a dictionary": """
        ops = {'a': F.conv2d}
        def conv2d(x, w): return ops['a'](x, w)
    """,
    "a module's forward": """
        def conv2d(x, w):
            m = torch.nn.Conv2d(3, 4, 3)
            m.weight.data = w
            return m(x).detach()
    """,
    "a subclass of a module": """
        class M(torch.nn.Conv2d): pass
        def conv2d(x, w): return M(3, 4, 3)(x).detach()
    """,
    "the operator": """
        def conv2d(x, w):
            return torch.ops.aten.convolution(x, w, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    """,
    "no_grad": """
        @torch.no_grad()
        def conv2d(x, w): return torch.conv2d(x, w)
    """,
    "inference_mode": """
        def conv2d(x, w):
            with torch.inference_mode():
                return F.conv2d(x, w).clone()
    """,
    "a comprehension": "def conv2d(x, w): return torch.stack([F.conv2d(v, w) for v in x])",
    "map": "def conv2d(x, w): return list(map(lambda v: F.conv2d(v, w), [x]))[0]",
    "map without a frame": "def conv2d(x, w): return list(map(F.conv2d, [x], [w]))[0]",
    "vmap": "def conv2d(x, w): return torch.vmap(lambda v: torch.conv2d(v, w))(x)",
    "a helper": """
        def conv2d(x, w): return helper(x, w)
        def helper(x, w): return F.conv2d(x, w)
    """,
    "a method": """
        class C:
            def run(self, x, w): return F.conv2d(x, w)
        def conv2d(x, w): return C().run(x, w)
    """,
    "a thread": """
        import threading
        def conv2d(x, w):
            out = []
            t = threading.Thread(target=lambda: out.append(F.conv2d(x, w)))
            t.start(); t.join()
            return out[0]
    """,
    "transposed": "def conv2d(x, w): return F.conv_transpose2d(x, w.transpose(0, 1))",
    "one dimension": "def conv2d(x, w): return F.conv1d(x[:, :, 0], w[:, :, 0])",
    "the gradient's own": "def conv2d(x, w): return torch.nn.grad.conv2d_weight(x, w.shape, torch.ones(2, 4, 6, 6))",
    "a backward": """
        class B(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x): return x * 1
            @staticmethod
            def backward(ctx, g): return F.conv2d(g, torch.ones(3, 3, 3, 3), padding=1)
        def conv2d(x, w):
            x = x.clone().requires_grad_()
            (B.apply(x) ** 2).sum().backward()
            return x.grad
    """,
    "scipy": """
        import scipy.signal
        def conv2d(x, w): return scipy.signal.convolve2d(x[0, 0], w[0, 0])
    """,
    "scipy under another name": """
        from scipy.ndimage import correlate as c
        def conv2d(x, w): return c(x.numpy(), w.numpy()[:1])
    """,
    "numpy": "def conv2d(x, w): return np.convolve(x.numpy().ravel(), w.numpy().ravel())",
    "in a branch that is not taken": """
        def conv2d(x, w):
            if x.shape[0] > 99: return F.conv2d(x, w)
            return x * 1
    """,
    "an import that is not reached": """
        def conv2d(x, w):
            if x.shape[0] > 99:
                from scipy.signal import fftconvolve
                return fftconvolve(x, w)
            return x * 1
    """,
    "a module under a local name": """
        def conv2d(x, w):
            import torch.nn.functional as G
            h = G
            return h.conv2d(x, w) if x.shape[0] > 99 else x * 1
    """,
    "unfold": "def conv2d(x, w): return w.flatten(1) @ F.unfold(x, 3)",
    "unfold's method": "def conv2d(x, w): return x.unfold(2, 3, 1).unfold(3, 3, 1) * 1",
    "unfold's module": "def conv2d(x, w): return torch.nn.Unfold(3)(x)",
    "fold": "def conv2d(x, w): return F.fold(torch.ones(1, 12, 4), (4, 4), 2, stride=2)",
    "pooling": "def conv2d(x, w): return F.max_pool2d(x, 2)",
    "pooling's module": "def conv2d(x, w): return torch.nn.AvgPool2d(2)(x)",
    "adaptive pooling": "def conv2d(x, w): return F.adaptive_max_pool2d(x, 1)",
    "autograd": """
        def conv2d(x, w):
            x = x.clone().requires_grad_()
            return torch.autograd.grad(x.sum(), x)[0]
    """,
    "backward": """
        def conv2d(x, w):
            x = x.clone().requires_grad_()
            (x ** 2).sum().backward()
            return x.grad
    """,
    "torch.func": "def conv2d(x, w): return torch.func.grad(lambda v: (v ** 2).sum())(x)",
    "vjp": """
        from torch.func import vjp
        def conv2d(x, w): return vjp(torch.sin, x)[1](x)[0]
    """,
    "a Jacobian": "def conv2d(x, w): return torch.autograd.functional.jacobian(torch.sum, x)",
}

INNOCENT = {
    "matmul": "def conv2d(x, w): return w.flatten(1) @ x[:, :, :3, :3].flatten(1).T",
    "as_strided and einsum": """
        def conv2d(x, w):
            s = x.stride()
            v = x.as_strided((2, 3, 6, 6, 3, 3), (*s, *s[2:]))
            return torch.einsum('nchwij,ocij->nohw', v, w)
    """,
    "pad and shifted sums": """
        def conv2d(x, w):
            x, out = F.pad(x, (1, 1, 1, 1)), 0
            for i in range(3):
                for j in range(3):
                    part = x[:, :, i : i + 8, j : j + 8]
                    out = out + torch.einsum('nchw,oc->nohw', part, w[:, :, i, j])
            return out
    """,
    "reflecting pad": "def conv2d(x, w): return F.pad(x, (1, 1, 1, 1), mode='reflect')",
    "circular pad": "def conv2d(x, w): return F.pad(x, (1, 1, 1, 1), mode='circular')",
    "FFT": """
        def conv2d(x, w):
            a, b = torch.fft.rfft2(x), torch.fft.rfft2(w, s=(8, 8)).conj()
            return torch.fft.irfft2(torch.einsum('nchw,ochw->nohw', a, b))
    """,
    "numpy's windows": """
        from numpy.lib.stride_tricks import sliding_window_view

        def conv2d(x, w):
            windows = sliding_window_view(x.numpy(), (3, 3), (2, 3))
            return np.einsum('nchwij,ocij->nohw', windows, w.numpy())
    """,
    "scipy's FFT": """
        import scipy.fft
        def conv2d(x, w): return scipy.fft.rfft2(x.numpy())
    """,
    "sparse matrices": """
        def conv2d(x, w):
            rows = x[0, 2].to_sparse().to_sparse_csr()
            return torch.sparse.mm(x[0, 0].to_sparse_csr(), x[0, 1]) + rows.to_dense()
    """,
    "its own names": """
        def unfold(x): return x * 1
        def max_pool2d(x): return unfold(x)
        class Conv2d:
            def __call__(self, x): return max_pool2d(x)
        conv2d_layer = Conv2d()
        def conv2d(x, w): return conv2d_layer(x)
    """,
    "its own modules": """
        class Conv2d(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.w = torch.nn.Parameter(torch.ones(4, 3))
            def forward(self, x): return torch.einsum('nchw,oc->nohw', x, self.w)

        class MaxPool2d(torch.nn.Module):
            def forward(self, x): return x.reshape(2, 4, 4, 2, 4, 2).amax((3, 5))

        def conv2d(x, w): return torch.nn.Sequential(Conv2d(), MaxPool2d())(x).detach()
    """,
    "linear and matmul modules": "def conv2d(x, w): return torch.nn.Linear(8, 4)(x).detach()",
    "a custom function": """
        class D(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x): return x * 2
            @staticmethod
            def backward(ctx, g): return g * 2
        def conv2d(x, w): return D.apply(x)
    """,
    "no_grad and detach": """
        @torch.no_grad()
        def conv2d(x, w): return x.detach() * 2
    """,
    "maxima": "def conv2d(x, w): return x.reshape(2, 3, 4, 2, 4, 2).amax((3, 5))",
    "vmap": "def conv2d(x, w): return torch.vmap(lambda v: v * 2)(x)",
    "an import inside": """
        def conv2d(x, w):
            import scipy.signal.windows
            import torch.nn.functional as G
            return G.relu(x)
    """,
    "words in strings": """
        def conv2d(x, w):
            'not F.conv2d, not torch.nn.functional.unfold'
            return x * 1
    """,
}


@pytest.mark.parametrize("source", HIDDEN.values(), ids=HIDDEN)
def test_a_built_in_is_found_whatever_it_is_called(answer, source):
    with pytest.raises(CheckFailed, match="which this question forbids"):
        check.rules(output, answer(source), inputs, forbid=FROM_SCRATCH)


@pytest.mark.parametrize("source", INNOCENT.values(), ids=INNOCENT)
def test_innocent_code_is_left_alone(answer, source):
    check.rules(output, answer(source), inputs, forbid=FROM_SCRATCH)


def test_what_the_experiments_own_body_does_is_not_the_students(answer):
    env = answer("def conv2d(x, w): return x.sum() * w.sum()")
    check.rules(trained, env, inputs, forbid=FROM_SCRATCH)
    with pytest.raises(CheckFailed, match=r"conv2d, line 1 uses torch\.nn\.functional\.conv2d"):
        check.rules(trained, answer("def conv2d(x, w): return F.conv2d(x, w)"), inputs, forbid=FROM_SCRATCH)


def test_a_module_that_the_student_builds_and_the_experiment_calls_is_the_students(answer):
    env = answer("def make(): return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())")
    with pytest.raises(CheckFailed, match=r"make, line 1 .*Conv2d"):
        check.rules(built, env, inputs, forbid=check.CONVOLUTION)
    env = answer("make = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))\nmake.forward = lambda: torch.relu")
    with pytest.raises(CheckFailed, match=r"make names torch\.nn\.modules\.conv\.Conv2d"):
        check.rules(built, env, inputs, forbid=check.CONVOLUTION)


def test_the_message_names_function_line_and_what_it_is(answer):
    env = answer("""
        def conv2d(x, w):
            windows = F.unfold(x, 3)
            return w.flatten(1) @ windows
    """)
    with pytest.raises(CheckFailed, match=r"^conv2d, line 3 uses torch\.nn\.functional\.unfold, which"):
        check.rules(output, env, inputs, forbid=check.UNFOLD)


def test_what_is_required_must_have_run_in_every_case(answer):
    own = "def matmul(a, b): return a @ b\ndef conv2d(x, w): return matmul(w.flatten(1), x[:, :, :3, :3].flatten(1).T)"
    check.rules(output, answer(own), inputs, require=("matmul", "aten::*mm*"))
    with pytest.raises(CheckFailed, match="relu was not used"):
        check.rules(output, answer(own), inputs, require=("relu",))
    unused = own.replace("return matmul(", "return torch.matmul(")
    with pytest.raises(CheckFailed, match="matmul was not used"):
        check.rules(output, answer(unused), inputs, require=("matmul",))
    named_only = own + "\ndef conv2d(x, w): return x * 1 if x.shape[0] < 9 else matmul(x, w)"
    with pytest.raises(CheckFailed, match="matmul was not used"):
        check.rules(output, answer(named_only), inputs, require=("matmul",))


def test_a_blank_does_not_pass_for_using_nothing_forbidden(answer):
    with pytest.raises(CheckFailed, match="conv2d returned None"):
        check.rules(output, answer("def conv2d(x, w): ..."), inputs, forbid=FROM_SCRATCH)


def test_a_profiler_that_was_there_before_is_put_back(answer):
    import sys

    seen = []

    def profiler(frame, event, arg):
        seen.append(event)

    sys.setprofile(profiler)
    try:
        check.rules(output, answer("def conv2d(x, w): return x * 1"), inputs)
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)


def test_operations_are_counted(answer):
    with check.evidence.collect() as found:
        check.rules(output, answer("def conv2d(x, w): return (x + 1) * 2"), inputs)
    assert found[0].data["operations"] == 2
