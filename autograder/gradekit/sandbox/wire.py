"""Frames between a judge and a jailed worker, whose process runs a stranger's code.

    channel = Channel(sock)                                     # one end of a socketpair (SOCK_STREAM), on either side
    channel.send({"call": "gradients", "inputs": [x, w]}, deadline=time.monotonic() + 5)
    answer = channel.receive(deadline=time.monotonic() + 5)     # plain values and nothing else

A frame is a fixed header (magic, version, number of descriptors, bytes of the body, bytes of the inline memory), a
msgpack body that describes the message, the small storages one after the other, and, where there are large ones, one
memfd with all of them. The body is surveyed (length, nesting, number of items) before msgpack builds anything of it.
Every size, shape, stride, offset, dtype and device in it is checked before memory is taken for what it describes.
No byte that arrives becomes code, a class or a name that is looked up.

What crosses: None, bool, int, float, complex, str, bytes; tuple, list and dict of these; exactly torch.Tensor and
np.ndarray; torch.dtype and torch.device. NumPy's scalars cross as numbers. A dict's keys are str, bytes, numbers, None
and tuples of these; an int among them has at most 64 bits, and a message has at most 4096 tuples as keys, since whoever
may choose other keys can choose them to collide.

- A tensor keeps dtype, device, shape, stride, offset, its whole storage and requires_grad, and becomes a leaf. Tensors
  that share a storage share it again. A lazy conjugate or negative is worked out first.
- An array keeps dtype, byte order, shape and the order of its axes in memory (C, Fortran, or any transpose). It arrives
  dense, writable and alone: gaps, negative and zero strides, and memory that it shared with another array, are lost.
- In a bool storage every byte that is not 0 arrives as 1: other bytes are undefined behaviour, not a truth value.

Large storages are read from the memfd with pread, once, into memory of our own: unlike a mapping, that cannot raise
SIGBUS, and nothing that the other side writes later is seen. The memfd must be sealed against a change of its size and
hold every byte that it announces, so that whoever makes us take memory has taken as much (within its own limits).
Where there is no memfd (macOS), everything goes inline, and a frame may be as large as MAX_MEMORY.
"""

import ctypes
import dataclasses
import fcntl
import math
import os
import re
import select
import socket
import struct
import time
from typing import Any

import msgpack  # type: ignore[import-untyped]
import numpy as np
import torch

MAX_FRAME = 64 * 2**20  # bytes of one frame, inline tensors included
MAX_MEMORY = 4 * 2**30  # bytes of all shared memory of one frame
SHARED_FROM = 2**20  # storages of at least so many bytes go through shared memory, smaller ones inline
MAX_DEPTH = 16  # of a field's value; the message itself is not counted
MAX_ITEMS = 100_000  # values of one message, keys and containers included
MAX_TENSORS = 4096  # tensors and arrays of one message
MAX_TUPLE_KEYS = 4096  # of one message; so many that all collide cost 0.4 s

_HEADER = struct.Struct("<4sHHQQ")  # magic, version, descriptors, bytes of the body, bytes of inline memory
_MAGIC = b"GKWF"
_VERSION = 1

_LIST, _TUPLE, _DICT, _TENSOR, _ARRAY = range(5)  # what an array of the body is: its first item
_INT, _COMPLEX, _STR, _DTYPE, _DEVICE = range(1, 6)  # msgpack ext codes
_ITEMS_OF_BODY = 2 * MAX_ITEMS + 16 * MAX_TENSORS  # msgpack items: a tag for each container, the fields of tensors
_DEPTH_OF_BODY = MAX_DEPTH + 3  # the body, the message, its values at depths 0 to MAX_DEPTH

_SHARES = hasattr(os, "memfd_create") and hasattr(fcntl, "F_ADD_SEALS")
_ANCILLARY = socket.CMSG_LEN(struct.calcsize("i")) if _SHARES else 0  # room for one descriptor; the kernel drops more
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
_BUFFERS = 512  # of one sendmsg; systems take 1024
_COPY = 2**26  # bytes between two looks at the clock
_SOCKET_BUFFER = 2**20  # bytes asked for, so that most inline frames go out in one call

_DTYPES = {
    name: dtype
    for name, dtype in vars(torch).items()
    if type(dtype) is torch.dtype
    and re.fullmatch(r"bool|u?int(8|16|32|64)|float(16|32|64)|bfloat16|complex(64|128)|float8_\w+", name)
}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_NUMBERS = [np.dtype(code) for code in "?bhilqBHILQefdgFDG"]
_ARRAY_DTYPES = {d.str for number in _NUMBERS for d in (number, number.newbyteorder())}
_TEXT_DTYPE = re.compile(r"[<>]U[1-9][0-9]{0,8}|\|S[1-9][0-9]{0,8}")
_DEVICE_NAME = re.compile(r"(cpu|cuda|mps)(:(0|[1-9][0-9]?))?")
_NUMPY = "numpy"  # in the place of a device: the memory of an array

_MAX_DIMS = 64  # NumPy takes no more, and most of torch's kernels neither
_MAX_STRIDE = 2**40  # elements; of a stride or an offset that no element depends on
_MAX_CODE_POINT = 0x10FFFF


class WireError(Exception):
    """The other side broke the protocol, or sent what may not be sent."""


class Channel:
    """One end of a conversation. Not for several threads.

    `deadline` is a time of time.monotonic(), in seconds. Past it both verbs raise TimeoutError, also in the middle of a
    frame. They raise EOFError when the peer is gone, also in the middle of a frame, and WireError for everything else.

    After a TimeoutError, a WireError or an interruption from outside, the two sides no longer agree where a frame
    begins: the channel is unusable, and every further call raises WireError. Close it, and end the process behind it.
    The one exception is what `send` refuses or fails at before it writes (a value that may not be sent, shared memory
    that cannot be had): not a byte has gone out, and the channel stays usable.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Takes the socket over: it becomes non-blocking, and `close` closes it."""
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        self._sock = sock
        self._packer = msgpack.Packer(strict_types=True)
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(sock, select.POLLOUT)
        self._broken = ""

    def send(self, message: dict[str, Any], *, deadline: float | None = None) -> None:
        """Send one message. WireError names the part of it that may not be sent: `message['inputs'][2] is a ...`."""
        self._refuse_if_broken()
        if type(message) is not dict:
            raise WireError(f"a message is a dict, got a {_full_name(type(message))}")
        encoder = _Encoder()
        try:
            body = self._packer.pack([encoder.table, encoder.message(message)])
        except _Unsendable as refusal:
            raise WireError(f"message{''.join(reversed(refusal.path))} {refusal.reason}") from None
        length = _HEADER.size + len(body) + encoder.inline_bytes
        if length > _largest(MAX_FRAME):
            raise WireError(f"the message takes {length} bytes: a frame has at most {_largest(MAX_FRAME)}")
        if encoder.shared_bytes > MAX_MEMORY:
            raise WireError(f"the message holds {encoder.shared_bytes} bytes of tensors: at most {MAX_MEMORY} are sent")

        descriptor = _share(encoder.shared, deadline) if encoder.shared else -1
        try:
            header = _HEADER.pack(_MAGIC, _VERSION, int(descriptor >= 0), len(body), encoder.inline_bytes)
            self._write([memoryview(header), memoryview(body), *encoder.inline], descriptor, deadline)
        except EOFError:
            raise
        except BaseException as error:
            self._broken = self._broken or f"{type(error).__name__}: {error}"
            raise
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def receive(self, *, deadline: float | None = None, limit: int = MAX_FRAME) -> dict[str, Any]:
        """Receive one message, of a frame of at most `limit` bytes (shared memory is not counted)."""
        self._refuse_if_broken()
        descriptors: list[int] = []
        try:
            return self._receive(descriptors, deadline, limit)
        except EOFError:
            raise
        except BaseException as error:
            self._broken = self._broken or f"{type(error).__name__}: {error}"
            raise
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def close(self) -> None:
        """Close the socket. Closing again does nothing."""
        self._broken = "it is closed"
        self._sock.close()

    def fileno(self) -> int:
        """The socket's descriptor, for select and poll; -1 after `close`."""
        return self._sock.fileno()

    def _refuse_if_broken(self) -> None:
        if self._broken:
            raise WireError(f"the channel is unusable: {self._broken}")

    def _receive(self, descriptors: list[int], deadline: float | None, limit: int) -> dict[str, Any]:
        magic, version, announced, body_bytes, inline_bytes = _HEADER.unpack(self._read_header(descriptors, deadline))
        if magic != _MAGIC:
            raise WireError(f"expected a frame, got bytes that begin with {magic!r}")
        if version != _VERSION:
            raise WireError(f"expected a frame of version {_VERSION}, got version {version}")
        length = _HEADER.size + body_bytes + inline_bytes
        if length > _largest(limit):
            raise WireError(f"a frame of {length} bytes is announced: at most {_largest(limit)} are taken")
        if announced != len(descriptors) or announced > 1:
            raise WireError(f"a frame with {announced} descriptors is announced, {len(descriptors)} came")

        body = bytearray(body_bytes)
        self._read(memoryview(body), deadline)
        try:
            decoder = _Decoder(_unpack(body), inline_bytes, descriptors[0] if descriptors else -1)
            message = decoder.message()
            for target in decoder.targets(shared=False):
                self._read(target, deadline)
            _copy(descriptors, decoder.targets(shared=True), deadline)
            decoder.finish()
        except (RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:  # of a library
            raise WireError(f"the message cannot be built: {error}") from error
        return message

    def _read_header(self, descriptors: list[int], deadline: float | None) -> bytes:
        """The header. Its descriptors go into the list as they come, so that the caller closes them in any case."""
        header = b""
        self._wait(self._readable, deadline)
        while len(header) < _HEADER.size:
            _check(deadline)
            try:
                piece, ancillary, flags, _ = self._sock.recvmsg(_HEADER.size - len(header), _ANCILLARY, _CLOEXEC)
            except BlockingIOError:
                self._wait(self._readable, deadline)
                continue
            except ConnectionError:
                piece, ancillary, flags = b"", [], 0
            except OSError as error:
                raise WireError(f"the socket cannot be read: {error}") from error
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    whole = len(data) - len(data) % struct.calcsize("i")
                    descriptors.extend(struct.unpack(f"{whole // struct.calcsize('i')}i", data[:whole]))
            if flags & socket.MSG_CTRUNC:
                raise WireError("more than one descriptor came with a frame")
            if not piece:
                raise EOFError(f"the peer is gone{', in the middle of a frame' if header else ''}")
            header += piece
        return header

    def _read(self, target: memoryview, deadline: float | None) -> None:
        """Fill `target`. Descriptors that come along are closed by the kernel, since recv has no room for them."""
        done, length = 0, len(target)
        while done < length:
            _check(deadline)
            try:
                got = self._sock.recv_into(target[done:])
            except BlockingIOError:
                self._wait(self._readable, deadline)
                continue
            except ConnectionError:
                got = 0
            except OSError as error:
                raise WireError(f"the socket cannot be read: {error}") from error
            if got == 0:
                raise EOFError("the peer is gone, in the middle of a frame")
            done += got

    def _write(self, buffers: list[memoryview], descriptor: int, deadline: float | None) -> None:
        """Send all buffers; the descriptor, if there is one (not -1), goes with the first byte."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", descriptor))] if descriptor >= 0 else []
        first = 0
        while first < len(buffers):
            _check(deadline)
            try:
                sent = self._sock.sendmsg(buffers[first : first + _BUFFERS], ancillary, _NO_SIGNAL)
            except BlockingIOError:
                self._wait(self._writable, deadline)
                continue
            except ConnectionError:
                raise EOFError("the peer is gone") from None
            except OSError as error:
                raise WireError(f"the socket cannot be written: {error}") from error
            ancillary = []
            while first < len(buffers) and sent >= len(buffers[first]):
                sent -= len(buffers[first])
                first += 1
            if sent:
                buffers[first] = buffers[first][sent:]

    def _wait(self, until: select.poll, deadline: float | None) -> None:
        _check(deadline)
        if deadline is None:
            until.poll()
        else:
            until.poll(min(max(deadline - time.monotonic(), 0) * 1000, 3_600_000))
        _check(deadline)


def _check(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise TimeoutError("the deadline passed before the frame was through")


def _largest(limit: int) -> int:
    """Bytes of a frame: where there is no memfd, everything is in it."""
    return limit if _SHARES else max(limit, MAX_MEMORY)


def _is_shared(nbytes: int) -> bool:
    return _SHARES and nbytes >= SHARED_FROM


# --- memfd


def _share(parts: list[memoryview], deadline: float | None) -> int:
    """A sealed memfd with all parts, one after the other. Raises WireError where this process may not have it."""
    descriptor = os.memfd_create("gradekit", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for part in parts:
            done = 0
            while done < len(part):
                _check(deadline)
                done += os.write(descriptor, part[done : done + _COPY])
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except TimeoutError:
        os.close(descriptor)
        raise
    except OSError as error:  # out of memory, or beyond RLIMIT_FSIZE, say
        os.close(descriptor)
        raise WireError(f"{sum(map(len, parts))} bytes of tensors cannot be put into shared memory: {error}") from error
    return descriptor


def _check_memory(descriptor: int, nbytes: int) -> None:
    """Raises WireError if the descriptor is not a memfd of exactly `nbytes`, all there, of a fixed size."""
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        raise WireError("the descriptor that came is not a memfd") from None
    wanted = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    if seals & wanted != wanted:
        raise WireError("the memfd that came is not sealed against a change of its size")
    status = os.fstat(descriptor)
    if status.st_size != nbytes:
        raise WireError(f"the memfd that came has {status.st_size} bytes, {nbytes} are announced")
    if status.st_blocks * 512 < nbytes:
        raise WireError("the memfd that came has holes")


def _copy(descriptors: list[int], targets: list[memoryview], deadline: float | None) -> None:
    at = 0
    for target in targets:
        done = 0
        while done < len(target):
            _check(deadline)
            try:
                got = os.preadv(descriptors[0], [target[done : done + _COPY]], at)
            except OSError as error:  # opened for writing only, say
                raise WireError(f"the memfd that came cannot be read: {error}") from error
            if got == 0:
                raise WireError("the memfd that came is too short")
            done += got
            at += got


# --- what is in a message, on its way out


class _Unsendable(Exception):
    """A value that may not be sent; the path to it is completed, from its end, as this passes the containers."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []


class _Encoder:
    """One message as lists, numbers and strings for msgpack, and the memory of its tensors as views."""

    def __init__(self) -> None:
        self.table: list[int | str] = []  # bytes and device of each storage, by turns
        self.inline: list[memoryview] = []
        self.shared: list[memoryview] = []
        self.inline_bytes = 0
        self.shared_bytes = 0
        self._text = 0  # characters and bytes of all str and bytes
        self._items = 0
        self._tensors = 0
        self._tuple_keys = 0
        self._known: dict[
            tuple[str, int, int], int
        ] = {}  # device, address and bytes of a storage: its place in the table
        self._held: list[torch.UntypedStorage] = []  # so that no address is used twice

    def message(self, message: dict[str, Any]) -> list[Any]:
        for key in message:
            if type(key) is not str:
                raise _Unsendable(f"has a field named {key!r:.40}: expected a string")
        encoded: list[Any] = self.value(message, -1)
        return encoded

    def value(self, value: Any, depth: int) -> Any:
        self._items += 1
        if self._items > MAX_ITEMS:
            raise _Unsendable(f"is beyond the {MAX_ITEMS} values that a message may hold")
        if depth > MAX_DEPTH:
            raise _Unsendable(f"is nested more than {MAX_DEPTH} deep")
        kind = type(value)  # never isinstance: an object can lie about its class
        if value is None or kind is bool or kind is float:
            return value
        if kind is str:
            return self._str(value)
        if kind is int:
            if -(2**63) <= value < 2**64:
                return value
            self._add_text(value.bit_length() // 8)
            return msgpack.ExtType(_INT, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
        if kind is list or kind is tuple:
            return self._sequence(_LIST if kind is list else _TUPLE, value, depth)
        if kind is dict:
            return self._dict(value, depth)
        if kind is torch.Tensor:
            return self._tensor(value)
        if kind is np.ndarray:
            return self._array(value)
        if kind is bytes:
            self._add_text(len(value))
            return value
        if kind is complex:
            return msgpack.ExtType(_COMPLEX, struct.pack("<dd", value.real, value.imag))
        if kind is torch.dtype and value in _DTYPE_NAMES:
            return msgpack.ExtType(_DTYPE, _DTYPE_NAMES[value].encode())
        if kind is torch.device and _DEVICE_NAME.fullmatch(str(value)):
            return msgpack.ExtType(_DEVICE, str(value).encode())
        if issubclass(kind, np.generic):
            number = np.generic.item(value)
            if type(number) in (bool, int, float, complex, str, bytes):
                return self.value(number, depth)
        raise _Unsendable(
            f"is a {_full_name(kind)}{f' ({value})' if kind in (torch.dtype, torch.device) else ''}: only plain data "
            "is sent (tensors, arrays, numbers, strings; tuples, lists and dicts of these), and no subclass of these"
        )

    def _str(self, value: str) -> Any:
        self._add_text(len(value))
        if value.isascii():
            return value
        try:
            value.encode()
        except UnicodeEncodeError:  # a lone surrogate
            return msgpack.ExtType(_STR, value.encode("utf-8", "surrogatepass"))
        return value

    def _add_text(self, length: int) -> None:
        self._text += length
        if self._text > _largest(MAX_FRAME):
            raise _Unsendable(f"is beyond the {_largest(MAX_FRAME)} bytes that a frame may have")

    def _sequence(self, tag: int, value: list[Any] | tuple[Any, ...], depth: int) -> list[Any]:
        encoded: list[Any] = [tag]
        try:
            for item in value:
                encoded.append(self.value(item, depth + 1))
        except _Unsendable as refusal:
            refusal.path.append(f"[{len(encoded) - 1}]")
            raise
        return encoded

    def _dict(self, value: dict[Any, Any], depth: int) -> list[Any]:
        encoded: list[Any] = [_DICT]
        for key, item in value.items():
            if not _is_key(key):
                raise _Unsendable(
                    f"has a key of type {_full_name(type(key))}: expected str, bytes, None, a number (an int of at "
                    "most 64 bits) or a tuple of these"
                )
            self._tuple_keys += type(key) is tuple
            if self._tuple_keys > MAX_TUPLE_KEYS:
                raise _Unsendable(f"is beyond the {MAX_TUPLE_KEYS} tuples that may be keys in a message")
            encoded.append(self.value(key, depth + 1))
            try:
                encoded.append(self.value(item, depth + 1))
            except _Unsendable as refusal:
                refusal.path.append(f"[{key!r:.40}]")
                raise
        return encoded

    def _count_tensor(self) -> None:
        self._tensors += 1
        if self._tensors > MAX_TENSORS:
            raise _Unsendable(f"is beyond the {MAX_TENSORS} tensors and arrays that a message may hold")

    def _tensor(self, value: torch.Tensor) -> list[Any]:
        self._count_tensor()
        device = value.device
        if value.layout is not torch.strided or value.is_nested:
            raise _Unsendable(
                f"is a tensor of layout {value.layout}{' (nested)' if value.is_nested else ''}, not a dense one"
            )
        if value.dtype not in _DTYPE_NAMES:
            raise _Unsendable(f"is a tensor of dtype {value.dtype}, which is not sent")
        if not _DEVICE_NAME.fullmatch(str(device)):
            raise _Unsendable(f"is a tensor on the device {device}, of which nothing is sent")
        try:
            dense = value.detach()
            if dense.is_conj() or dense.is_neg():
                dense = dense.resolve_conj().resolve_neg()
            shape, stride, offset = tuple(dense.shape), dense.stride(), int(dense.storage_offset())
            storage = dense.untyped_storage()
            nbytes = storage.nbytes()
            _check_layout(shape, stride, offset, value.dtype.itemsize, nbytes)
            index = self._storage(storage, device, nbytes)
        except WireError as error:
            raise _Unsendable(f"is a tensor that cannot be sent: {error}") from None
        except RuntimeError as error:  # one without memory: torch.func's, say
            raise _Unsendable(f"is a tensor whose memory cannot be read: {error}") from None
        dtype = _DTYPE_NAMES[value.dtype]
        return [_TENSOR, index, dtype, _packed(shape), _packed(stride), offset, value.requires_grad]

    def _storage(self, storage: torch.UntypedStorage, device: torch.device, nbytes: int) -> int:
        known = (str(device), storage.data_ptr(), nbytes)
        if nbytes and known in self._known:
            return self._known[known]
        flat = torch.empty(0, dtype=torch.uint8, device=device).set_(storage)
        here = flat.cpu().untyped_storage()  # the same one, if it is on the CPU
        self._held += (storage, here)
        index = self._known[known] = self._add(_memory(here), known[0])
        return index

    def _array(self, value: np.ndarray[Any, np.dtype[Any]]) -> list[Any]:
        self._count_tensor()
        if not _is_array_dtype(value.dtype.str) or value.dtype.names is not None or value.dtype.subdtype is not None:
            raise _Unsendable(f"is an array of dtype {value.dtype}: expected numbers, 'U' or 'S'")
        # The axes from the longest step to the shortest, so that reading memory in order reads the array in C order.
        order = tuple(sorted(range(value.ndim), key=lambda axis: -abs(value.strides[axis])))
        dense = value if value.flags.c_contiguous else np.ascontiguousarray(value.transpose(order))
        try:
            _check_extent(value.shape, value.dtype.itemsize)
        except WireError as error:
            raise _Unsendable(f"is an array that cannot be sent: {error}") from None
        index = self._add(dense.reshape(-1).view(np.uint8).data, _NUMPY)
        axes = b"" if value.flags.c_contiguous else _packed(order)
        return [_ARRAY, index, value.dtype.str, _packed(value.shape), axes]

    def _add(self, memory: memoryview, place: str) -> int:
        nbytes = len(memory)
        self.table += (nbytes, place)
        if _is_shared(nbytes):
            self.shared.append(memory)
            self.shared_bytes += nbytes
        else:
            self.inline.append(memory)
            self.inline_bytes += nbytes
        return len(self.table) // 2 - 1


# --- what is in a message, on its way in


def _survey(body: bytearray) -> None:
    """Raises WireError unless the bytes are one msgpack value of arrays, numbers, strings and our own ext codes, within
    the limits on items and nesting. Builds nothing: a megabyte of empty arrays would become fifty.
    """
    at, end, items = 0, len(body), 0
    levels = [1]  # items still to come, for each array that is open
    while levels:
        if at >= end:
            raise WireError("the body of a frame is cut off")
        lead = body[at]
        at += 1
        items += 1
        if items > _ITEMS_OF_BODY:
            raise WireError("the body of a frame has too many items")
        levels[-1] -= 1
        inside = 0
        if lead < 0x80 or lead >= 0xE0 or lead in (0xC0, 0xC2, 0xC3):  # a small int, None, False, True
            pass
        elif 0xA0 <= lead < 0xC0:  # a short str
            at += lead & 0x1F
        elif 0x90 <= lead < 0xA0:  # a short array
            inside = lead & 0x0F
        elif lead in _FIXED:
            at += _FIXED[lead]
        elif lead in _PREFIXED:
            width = _PREFIXED[lead]
            length = int.from_bytes(body[at : at + width], "big")
            at += width
            if lead in (0xDC, 0xDD):
                inside = length
            else:
                at += length + (lead in _EXT)
                if lead in _EXT:
                    _check_code(body[at - length - 1 : at - length])
        elif 0xD4 <= lead <= 0xD8:  # an ext of 1, 2, 4, 8 or 16 bytes
            _check_code(body[at : at + 1])
            at += 1 + (1 << (lead - 0xD4))
        else:
            raise WireError(f"the body of a frame has an item of the kind 0x{lead:02x}, which is not used")
        if inside:
            if inside > min(end - at, _ITEMS_OF_BODY - items):
                raise WireError("the body of a frame announces more items than it has or may have")
            if len(levels) > _DEPTH_OF_BODY:
                raise WireError(f"the body of a frame is nested more than {_DEPTH_OF_BODY} deep")
            levels.append(inside)
        while levels and not levels[-1]:
            levels.pop()
    if at != end:
        raise WireError("the body of a frame does not end where its value ends")


_FIXED = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}  # float, uint, int
_PREFIXED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4}
_EXT = (0xC7, 0xC8, 0xC9)  # of them; the others are bytes (C4 to C6), str (D9 to DB) and arrays (DC, DD)


def _check_code(code: bytearray) -> None:
    if not code or not _INT <= code[0] <= _DEVICE:
        raise WireError(f"the body of a frame has an item of ext code {code[0] if code else 'none'}, which is not used")


def _unpack(body: bytearray) -> Any:
    _survey(body)
    length = len(body)
    return msgpack.unpackb(
        body,
        ext_hook=_extended,
        strict_map_key=False,
        max_str_len=length,
        max_bin_len=length,
        max_ext_len=length,
        max_array_len=_ITEMS_OF_BODY,
        max_map_len=0,
    )


def _extended(code: int, data: bytes) -> Any:
    if code == _INT:
        return int.from_bytes(data, "little", signed=True)
    if code == _COMPLEX and len(data) == 16:
        return complex(*struct.unpack("<dd", data))
    if code == _STR:
        return data.decode("utf-8", "surrogatepass")
    if code == _DTYPE and data.decode() in _DTYPES:
        return _DTYPES[data.decode()]
    if code == _DEVICE and _DEVICE_NAME.fullmatch(data.decode()):
        return torch.device(data.decode())
    raise WireError(f"an item of ext code {code} holds {data[:40]!r}, which it may not")


@dataclasses.dataclass(slots=True)
class _Piece:
    """One storage that arrives."""

    nbytes: int
    place: str  # a device, or "numpy"
    dtypes: set[torch.dtype | str] = dataclasses.field(
        default_factory=set
    )  # what it is looked at as; empty: not yet used
    flat: torch.Tensor | None = None
    memory: memoryview | None = None  # of `flat` or of an array


class _Decoder:
    """The message of a body. Its tensors are empty and its arrays are unwritten until `finish`.

    Raises WireError for whatever the sender above would not have sent.
    """

    def __init__(self, body: Any, inline_bytes: int, descriptor: int) -> None:
        """descriptor: of the memfd, checked here; -1 if none came."""
        table: Any
        self._message: Any
        table, self._message = body if type(body) is list and len(body) == 2 else (None, None)
        if type(table) is not list or len(table) % 2 or len(table) > 2 * MAX_TENSORS:
            raise WireError("the body of a frame is not a table of storages and a message")
        self._pieces: list[_Piece] = []
        sums = [0, 0]
        for nbytes, place in zip(table[::2], table[1::2], strict=True):
            if type(nbytes) is not int or not 0 <= nbytes <= MAX_MEMORY:
                raise WireError(f"a storage of {nbytes!r:.40} bytes is announced")
            if type(place) is not str or not (place == _NUMPY or _is_present(place)):
                raise WireError(f"a storage on the device {place!r:.40} is announced, which is not one of this machine")
            sums[_is_shared(nbytes)] += nbytes
            self._pieces.append(_Piece(nbytes, place))
        if sums[0] != inline_bytes:
            raise WireError(
                f"a frame with {inline_bytes} bytes of inline memory is announced, its storages have {sums[0]}"
            )
        if sums[1] > MAX_MEMORY:
            raise WireError(
                f"a frame with {sums[1]} bytes of shared memory is announced: at most {MAX_MEMORY} are taken"
            )
        if (sums[1] > 0) != (descriptor >= 0):
            raise WireError(
                f"a frame with {sums[1]} bytes of shared memory came {'without' if sums[1] else 'with'} a memfd"
            )
        if sums[1]:
            _check_memory(descriptor, sums[1])
        self._tensors: list[tuple[torch.Tensor, _Piece, int, tuple[int, ...], tuple[int, ...], bool]] = []
        self._items = 0
        self._tensors_and_arrays = 0
        self._tuple_keys = 0

    def message(self) -> dict[str, Any]:
        """The message, all of it checked."""
        message = self._value(self._message, -1)
        if type(message) is not dict or not all(type(key) is str for key in message):
            raise WireError("a frame holds no message: expected a dict with string keys")
        if not all(piece.dtypes for piece in self._pieces):
            raise WireError("a frame holds a storage that no tensor uses")
        return message

    def targets(self, *, shared: bool) -> list[memoryview]:
        """The memory to fill, taken now: of the storages in shared memory, or of the others."""
        targets = []
        for piece in self._pieces:
            if _is_shared(piece.nbytes) is shared:
                if piece.memory is None:
                    piece.flat = torch.empty(piece.nbytes, dtype=torch.uint8, device="cpu")
                    piece.memory = _memory(piece.flat.untyped_storage())
                targets.append(piece.memory)
        return targets

    def finish(self) -> None:
        """Put the tensors onto their storages, which are full by now."""
        for piece in self._pieces:
            _check_content(piece)
        storages: dict[int, torch.UntypedStorage] = {}
        for tensor, piece, offset, shape, stride, requires_grad in self._tensors:
            assert piece.flat is not None
            if id(piece) not in storages:
                storages[id(piece)] = piece.flat.to(piece.place).untyped_storage()
            tensor.set_(storages[id(piece)], offset, shape, stride)
            if requires_grad:
                tensor.requires_grad_()

    def _value(self, raw: Any, depth: int) -> Any:
        self._items += 1
        if self._items > MAX_ITEMS:
            raise WireError(f"a message holds more than {MAX_ITEMS} values")
        if depth > MAX_DEPTH:
            raise WireError(f"a message is nested more than {MAX_DEPTH} deep")
        if type(raw) is not list:
            return raw  # built by msgpack or by _extended: a plain one
        tag = raw[0] if raw else None
        if type(tag) is not int:
            raise WireError("a container in a message has no tag")
        if tag == _LIST:
            return [self._value(raw[i], depth + 1) for i in range(1, len(raw))]
        if tag == _TUPLE:
            return tuple([self._value(raw[i], depth + 1) for i in range(1, len(raw))])
        if tag == _DICT:
            return self._dict(raw, depth)
        if tag in (_TENSOR, _ARRAY):
            self._tensors_and_arrays += 1
            if self._tensors_and_arrays > MAX_TENSORS:
                raise WireError(f"a message holds more than {MAX_TENSORS} tensors and arrays")
            return self._tensor(raw) if tag == _TENSOR else self._array(raw)
        raise WireError(f"a container in a message has the tag {tag}, which is not used")

    def _dict(self, raw: list[Any], depth: int) -> dict[Any, Any]:
        if len(raw) % 2 == 0:
            raise WireError("a dict in a message has a key without a value")
        result = {}
        for i in range(1, len(raw), 2):
            key = self._value(raw[i], depth + 1)
            if not _is_key(key):
                raise WireError(
                    f"a dict in a message has a key of type {_full_name(type(key))}, or an int too long for one"
                )
            self._tuple_keys += type(key) is tuple
            if self._tuple_keys > MAX_TUPLE_KEYS:
                raise WireError(f"a message has more than {MAX_TUPLE_KEYS} tuples as keys")
            result[key] = self._value(raw[i + 1], depth + 1)
        if len(result) != len(raw) // 2:
            raise WireError("a dict in a message has a key twice")
        return result

    def _piece(self, index: Any) -> _Piece:
        if type(index) is not int or not 0 <= index < len(self._pieces):
            raise WireError(f"a tensor or array lies in the storage {index!r:.40}, of {len(self._pieces)}")
        return self._pieces[index]

    def _tensor(self, raw: list[Any]) -> torch.Tensor:
        if [type(part) for part in raw] != [int, int, str, bytes, bytes, int, bool]:
            raise WireError("a tensor in a message is not described as one")
        _, index, name, shape_bytes, stride_bytes, offset, requires_grad = raw
        piece, shape, stride = self._piece(index), _numbers(shape_bytes), _numbers(stride_bytes)
        if name not in _DTYPES:
            raise WireError(f"a tensor has the dtype {name!r:.40}, which is not sent")
        if piece.place == _NUMPY:
            raise WireError("a tensor lies in the memory of an array")
        dtype = _DTYPES[name]
        _check_layout(shape, stride, offset, dtype.itemsize, piece.nbytes)
        if requires_grad and not (dtype.is_floating_point or dtype.is_complex):
            raise WireError(f"a tensor of dtype {name} cannot require a gradient")
        piece.dtypes.add(dtype)
        tensor = torch.empty(0, dtype=dtype, device=piece.place)
        self._tensors.append((tensor, piece, offset, shape, stride, requires_grad))
        return tensor

    def _array(self, raw: list[Any]) -> np.ndarray[Any, np.dtype[Any]]:
        if [type(part) for part in raw] != [int, int, str, bytes, bytes]:
            raise WireError("an array in a message is not described as one")
        _, index, name, shape_bytes, order_bytes = raw
        piece, shape = self._piece(index), _numbers(shape_bytes)
        if not _is_array_dtype(name):
            raise WireError(f"an array has the dtype {name!r:.40}, which is not sent")
        if piece.place != _NUMPY or piece.dtypes:
            raise WireError("an array lies in the memory of a tensor or of another array")
        dtype = np.dtype(name)
        if _check_extent(shape, dtype.itemsize) != piece.nbytes:
            raise WireError(f"an array of shape {shape} and dtype {name} lies in a storage of {piece.nbytes} bytes")
        order = _numbers(order_bytes) if order_bytes else tuple(range(len(shape)))
        if sorted(order) != list(range(len(shape))):
            raise WireError(f"an array of shape {shape} has its axes in the order {order}")
        dense = np.empty([shape[axis] for axis in order], dtype)
        piece.dtypes.add(name)
        piece.memory = dense.reshape(-1).view(np.uint8).data
        return dense.transpose(np.argsort(order)) if order_bytes else dense


def _check_content(piece: _Piece) -> None:
    """Some bytes are no value of their dtype, and what reads them may do anything. Mends a bool, refuses the rest."""
    assert piece.memory is not None
    if not piece.nbytes:
        return
    if torch.bool in piece.dtypes or "|b1" in piece.dtypes:
        content = np.frombuffer(piece.memory, np.uint8)
        if content.max() > 1:
            if len(piece.dtypes) > 1:
                raise WireError("a storage is shared by a bool tensor and another, and holds other bytes than 0 and 1")
            np.minimum(content, 1, out=content)
    [name, *_] = piece.dtypes
    is_text = isinstance(name, str) and name[1] == "U"
    if is_text and np.frombuffer(piece.memory, f"{str(name)[0]}u4").max() > _MAX_CODE_POINT:
        raise WireError("an array of strings holds a number that is no character")


# --- what both ways have in common


def _check_layout(shape: tuple[int, ...], stride: tuple[int, ...], offset: int, itemsize: int, nbytes: int) -> None:
    """Raises WireError unless every element lies in a storage of `nbytes`. Stride and offset are in elements."""
    if len(stride) != len(shape):
        raise WireError(f"a tensor has the shape {shape} and the stride {stride}")
    size = _check_extent(shape, itemsize)
    if offset < 0 or min(stride, default=0) < 0:
        raise WireError(f"a tensor has the stride {stride} and the offset {offset}: expected none below 0")
    if offset > _MAX_STRIDE or max(stride, default=0) > _MAX_STRIDE:
        raise WireError(f"a tensor has the stride {stride} and the offset {offset}: too large")
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    if size and (last + 1) * itemsize > nbytes:
        raise WireError(
            f"a tensor of shape {shape}, stride {stride}, offset {offset} and {itemsize} bytes an element reaches "
            f"beyond its storage of {nbytes} bytes"
        )


def _check_extent(shape: tuple[int, ...], itemsize: int) -> int:
    """Bytes of all elements, repeated ones counted each time. WireError if too many, or if the shape is none."""
    if len(shape) > _MAX_DIMS or min(shape, default=0) < 0:
        raise WireError(f"a shape of {len(shape)} dimensions, {shape[:8]}: expected at most {_MAX_DIMS}, none below 0")
    if math.prod(max(length, 1) for length in shape) * itemsize > MAX_MEMORY:  # of an empty one as well: no overflow
        raise WireError(f"a shape of {shape[:8]} with {itemsize} bytes an element: more than {MAX_MEMORY} bytes")
    return math.prod(shape) * itemsize


_view_memory = ctypes.pythonapi.PyMemoryView_FromMemory
_view_memory.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
_view_memory.restype = ctypes.py_object
_PYBUF_WRITE = 0x200


def _memory(storage: torch.UntypedStorage) -> memoryview:
    """The bytes of a storage on the CPU, which must outlive the view.

    Tensor.numpy() would mark the storage as one that cannot be resized, the sender's own as well, and NumPy before 2.1
    takes DLPack's memory as read-only.
    """
    nbytes = storage.nbytes()
    view: memoryview = _view_memory(storage.data_ptr(), nbytes, _PYBUF_WRITE) if nbytes else memoryview(b"")
    return view


def _is_array_dtype(name: str) -> bool:
    return name in _ARRAY_DTYPES or _TEXT_DTYPE.fullmatch(name) is not None


def _is_present(place: str) -> bool:
    """Whether this machine has the device. 'cpu' is asked for first: to ask for another may start its driver."""
    if place == "cpu":
        return True
    if not _DEVICE_NAME.fullmatch(place):
        return False
    kind, _, number = place.partition(":")
    if kind == "cuda":
        return torch.cuda.is_available() and int(number or 0) < torch.cuda.device_count()
    return kind == "mps" and int(number or 0) == 0 and torch.backends.mps.is_available()


def _is_key(key: Any) -> bool:
    kind = type(key)
    if kind is int:
        return bool(-(2**63) <= key < 2**64)
    if kind is tuple:
        return all(_is_key(part) for part in key)
    return key is None or kind in (str, float, bool, bytes)


def _packed(numbers: tuple[int, ...]) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


def _numbers(data: bytes) -> tuple[int, ...]:
    if len(data) % 8 or len(data) > 8 * _MAX_DIMS:
        raise WireError(
            f"a shape, stride or order of axes has {len(data)} bytes: expected 8 a dimension, {_MAX_DIMS} at most"
        )
    return struct.unpack(f"<{len(data) // 8}q", data)


def _full_name(kind: type) -> str:
    module = str(kind.__module__)
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"
