#pragma once

// Signatures (for the stub) and docstrings of the alignment bindings, in numpy style. B batch, S samples, T targets, D
// features, N streams.
namespace robocache::python {

inline constexpr const char* kStreamSignature =
    "def __init__(self, values: typing.Any, stamps: typing.Any, *, "
    "interp: str | collections.abc.Sequence[tuple[str | None, int]] | None = None, "
    "outside: str | float | tuple[str | float, str | float] = 'hold', max_gap_ns: int | None = None, "
    "max_age_ns: int | None = None, offset_ns: int = 0, lengths: typing.Any = None, offsets: typing.Any = None, "
    "mask: typing.Any = None, missing: typing.Literal['propagate', 'skip', 'hold'] = 'propagate', "
    "quaternion: typing.Literal['xyzw', 'wxyz'] = 'xyzw', "
    "name: str | None = None) -> None";

inline constexpr const char* kStreamDoc =
    R"doc(One sensor: its samples, their stamps, and how to fill the time between them.

Arrays are numpy, torch, jax or cupy arrays on the CPU or a CUDA device (anything with DLPack or the buffer
protocol); nothing is copied. All streams of a call live on one device.

Parameters
----------
values : array [B, S, D], [S, D] or [S]; with `offsets` [N, D] or [N]
    Samples of any float, integer or bool dtype, with any strides. Without a batch axis in a batched call the
    stream is shared by all batch rows.
stamps : array [B, S] or [S]; with `offsets` [N]
    int64 ns, float64 s or float32 s (relative times only), non-decreasing. The dtype must be that of `at`.
interp : {None, 'hold', 'nearest', 'linear', 'pchip', 'angle', 'slerp', 'se3', 'screw'} or list of (mode, columns)
    None: linear for floats, hold for integers and bools. 'pchip' is scipy's monotone cubic. 'angle' (rad) goes
    the shorter way around. 'slerp' takes unit quaternions in groups of four columns along the shortest arc;
    'se3' poses in groups of seven (position, quaternion), 'screw' the same along their screw motion. A list
    gives each run of columns a mode of its own: [('linear', 9), ('hold', 1), ('slerp', 4)].
outside : {'hold', 'nan', 'extrapolate', 'error'}, a number, or a pair (before, after) of these
    What targets outside the stamps get; they are not valid whatever is written. With 'hold' interpolation only
    targets before the first sample are outside.
max_gap_ns : int, optional
    Targets in an interval wider than this keep their value and are not valid.
max_age_ns : int, optional
    Targets farther than this from the nearest sample used keep their value and are not valid.
offset_ns : int
    Clock skew, added to the stamps.
lengths : int array [B], optional
    Samples in each row; the padding behind them is never read.
offsets : int array [B+1], optional
    Row b is the samples offsets[b] .. offsets[b+1]-1 of packed values [N, D].
mask : bool array [B, S] or [S]; with `offsets` [N], optional
    False: the sample is missing. Other dtypes are refused; ``.view(bool)`` makes one of bytes 0 and 1.
missing : {'propagate', 'skip', 'hold'}
    What stands for samples that are missing: masked, or (with 'skip' and 'hold') NaN in their column, quaternion
    or pose. 'propagate': NaN (0 for integers). 'skip': the nearest samples present on either side. 'hold': the
    last one present before.
quaternion : {'xyzw', 'wxyz'}
    Which component is the scalar; matters to 'screw' only.
name : str, optional
    Used in error texts.

Raises
------
ValueError
    An option is none of those above.
)doc";

inline constexpr const char* kAlignSignature =
    "def align(streams: collections.abc.Sequence[Stream] | Stream, at: typing.Any, *, dtype: typing.Any = None, "
    "out: typing.Any = None, check: typing.Literal['auto', 'now', 'off'] = 'auto') -> AlignResult";

inline constexpr const char* kAlignDoc = R"doc(Put streams at the same instants.

Parameters
----------
streams : sequence of Stream
    N of them. The first one's library makes the outputs.
at : array [B, T] or [T]
    Target times in the stamps' dtype, in any order.
dtype : dtype or str, optional
    Of the result: any float dtype, or the dtype that all streams have. Default: the streams' own.
out : array, or list of arrays, optional
    Written instead of new arrays: one [B, T, sum D], or one [B, T, D] a stream.
check : {'auto', 'now', 'off'}
    When unsorted or NaN stamps are reported. 'auto': on the CPU at once; on CUDA by `result.check()` or the next
    RoboCache call on the device. 'now' waits for the device. 'off' never looks.

Returns
-------
AlignResult
    `.values` [B, T, sum D], `.valid` bool [B, T, N], `.age_ns` int64 [B, T, N], `.split()`, `.check()`.
    Where neither streams nor `at` have a batch axis, the results have none.

Raises
------
ValueError
    Shapes, dtypes or devices do not fit; on the CPU also unsorted or NaN stamps.
NotImplementedError
    A dtype or interpolation that is not there (blending integers, gradients).
)doc";

inline constexpr const char* kResampleSignature =
    "def resample(values: typing.Any, stamps: typing.Any, at: typing.Any, *, "
    "interp: str | collections.abc.Sequence[tuple[str | None, int]] | None = None, "
    "outside: str | float | tuple[str | float, str | float] = 'hold', max_gap_ns: int | None = None, "
    "max_age_ns: int | None = None, offset_ns: int = 0, lengths: typing.Any = None, offsets: typing.Any = None, "
    "mask: typing.Any = None, missing: typing.Literal['propagate', 'skip', 'hold'] = 'propagate', "
    "quaternion: typing.Literal['xyzw', 'wxyz'] = 'xyzw', "
    "name: str | None = None, out: typing.Any = None, "
    "check: typing.Literal['auto', 'now', 'off'] = 'auto') -> typing.Any";

inline constexpr const char* kResampleDoc = R"doc(Put one stream at new times: `align` without validity.

Parameters
----------
values, stamps, interp, outside, max_gap_ns, max_age_ns, offset_ns, lengths, offsets, mask, missing, quaternion, name
    As in `Stream`.
at : array [B, T] or [T]
    Target times in the stamps' dtype, in any order.
out : array [B, T, D], optional
    Written instead of a new array; may have any float dtype.
check : {'auto', 'now', 'off'}
    As in `align`.

Returns
-------
array [B, T, D]
    Without the axes that `values` and `at` do not have: [T, D], [B, T] or [T].

Raises
------
ValueError, NotImplementedError
    As `align`.
)doc";

inline constexpr const char* kPlanDoc =
    "Where the values of B x T targets come from; made by `plan`: `index`, `weight`, `valid`, `age_ns`, `apply()`, "
    "`check()`.";

inline constexpr const char* kPlanSignature =
    "def plan(stamps: typing.Any, at: typing.Any, *, "
    "interp: str | collections.abc.Sequence[tuple[str | None, int]] | None = None, "
    "outside: str | float | tuple[str | float, str | float] = 'hold', max_gap_ns: int | None = None, "
    "max_age_ns: int | None = None, offset_ns: int = 0, lengths: typing.Any = None, offsets: typing.Any = None, "
    "mask: None = None, missing: typing.Literal['propagate'] = 'propagate', name: str | None = None, "
    "check: typing.Literal['auto', 'now', 'off'] = 'auto') -> Plan";

inline constexpr const char* kPlanFunctionDoc =
    R"doc(What `align` finds out before it looks at values, once for many streams or epochs.

Parameters
----------
stamps, interp, outside, max_gap_ns, max_age_ns, offset_ns, lengths, offsets, name
    As in `Stream`. `interp` None is linear. A plan has no missing samples: they belong to values.
at : array [B, T] or [T]
    Target times in the stamps' dtype, in any order.
check : {'auto', 'now', 'off'}
    As in `align`; `plan.check()` waits.

Returns
-------
Plan
    `.apply(values)` gives what `resample` gives; `.index`, `.weight`, `.valid`, `.age_ns` are arrays [B, T] or [T].

Raises
------
ValueError, NotImplementedError
    As `align`.
)doc";

inline constexpr const char* kApplySignature =
    "def apply(self, values: typing.Any, *, interp: str | collections.abc.Sequence[tuple[str | None, int]] | None = "
    "None, "
    "out: typing.Any = None, dtype: typing.Any = None) -> typing.Any";

inline constexpr const char* kApplyDoc = R"doc(Resample values on the plan's clock.

Parameters
----------
values : array [B, S, D], [S, D] or [S]; with `offsets` [N, D] or [N]
    A plan without a batch axis serves all rows of a batch.
interp : str or list of (mode, columns), optional
    Instead of the plan's: modes that place targets alike, such as 'slerp' or 'pchip' where the plan has 'linear'.
out : array [B, T, D], optional
    Written instead of a new array.
dtype : dtype or str, optional
    Of the result: any float dtype, or that of the values.

Returns
-------
array [B, T, D]
    What `resample` gives, bit for bit.

Raises
------
ValueError, NotImplementedError
    As `resample`; also values of another number of samples than the plan's.
)doc";

inline constexpr const char* kAlignResultDoc =
    "The aligned streams: `values`, `valid`, `age_ns`, `split()`, `check()`.";

}  // namespace robocache::python
