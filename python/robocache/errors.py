"""Errors of RoboCache. Each is also a standard exception, so that nobody needs to import this module to catch one."""


class InvalidArgument(ValueError):  # noqa: N818 - the name it has in C++
    """An argument has the wrong shape, dtype, device or value."""


class Unsupported(NotImplementedError):  # noqa: N818 - the name it has in C++
    """The request is sensible, but this build, device or dtype does not do it."""


class DataError(OSError):
    """A file or its metadata is damaged; the text names the file and, where known, the line or the episode."""


class CudaError(RuntimeError):
    """The CUDA runtime or driver reported an error."""


class OutOfMemory(MemoryError):  # noqa: N818 - the name it has in C++
    """Memory ran out; the text says what was asked for."""
