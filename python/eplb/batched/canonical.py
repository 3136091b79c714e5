"""Canonical loads on the device: each row becomes integers that sum to about 2^40.

Floats are taken apart by their bits and rounded by integer shifts. No float is compared, added or
scaled, so it does not matter whether the device flushes subnormals to zero.
"""

from __future__ import annotations

import torch

#: Bits of mantissa and exponent of each IEEE type.
FLOATS = {
    torch.float16: (10, 5),
    torch.bfloat16: (7, 8),
    torch.float32: (23, 8),
    torch.float64: (52, 11),
}
SIGNED = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
UNSIGNED = (torch.uint8, torch.uint16, torch.uint32, torch.uint64)
#: Types of which each value is a normal float32, by the beginning of their names.
SMALL_FLOATS = ("torch.float8_e4m3", "torch.float8_e5m2")


def is_supported(dtype: torch.dtype) -> bool:
    """Whether numbers of this type can be loads."""
    known = dtype in FLOATS or dtype in UNSIGNED or dtype in SIGNED.values()
    return known or str(dtype).startswith(SMALL_FLOATS)


def canonical_rows(weight: torch.Tensor) -> torch.Tensor:
    """The canonical loads of ``weight``, int64 ``[layers, L]``; what is no load counts as 0."""
    mantissa, exponent = decode(weight)
    # 2^(e-1) <= the largest load of the row < 2^e
    e = (exponent + bit_length(mantissa)).amax(dim=1, keepdim=True)
    scale = 48 - e
    # An integer sum, so no order of summation can change the scale.
    total = rounded(mantissa, exponent + scale).sum(dim=1, keepdim=True)
    # From the load itself, so that nothing is rounded twice.
    return rounded(mantissa, exponent + (scale + 40 - bit_length(total)))


def decode(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int64 mantissas and exponents, with load = mantissa * 2^exponent, 0 <= mantissa < 2^63."""
    if str(weight.dtype).startswith(SMALL_FLOATS):
        weight = weight.to(torch.float32)
    bits = weight.view(SIGNED[weight.dtype.itemsize]).to(torch.int64)
    if weight.dtype in FLOATS:
        return decode_float(bits, *FLOATS[weight.dtype])
    if weight.dtype == torch.uint64:
        return decode_uint64(bits)
    if weight.dtype in UNSIGNED:
        mantissa = bits & (2 ** (8 * weight.dtype.itemsize) - 1)
    else:
        mantissa = bits.clamp(min=0)
    return mantissa, torch.zeros_like(mantissa)


def decode_float(
    bits: torch.Tensor, mantissa_bits: int, exponent_bits: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of floats given by their sign-extended bits; NaN, infinity and negative floats are 0."""
    infinity = (2**exponent_bits - 1) << mantissa_bits
    bits = bits.masked_fill((bits < 0) | (bits >= infinity), 0)
    field = bits >> mantissa_bits
    leading = field.clamp(max=1) << mantissa_bits  # none where subnormal
    mantissa = bits & (2**mantissa_bits - 1) | leading
    bias = 2 ** (exponent_bits - 1) - 1
    return mantissa, field.clamp(min=1) - (bias + mantissa_bits)


def decode_uint64(bits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of unsigned integers given by their bits.

    From 2^63 on they are halved. The bit that falls out is kept in the lowest one: rounding drops
    14 bits or more of such a number, and needs to know only whether anything is below the half.
    """
    large = bits < 0
    halved = (bits >> 1 & 2**63 - 1) | (bits & 1)
    return torch.where(large, halved, bits), large.to(torch.int64)


def bit_length(x: torch.Tensor) -> torch.Tensor:
    """The n with 2^(n-1) <= x < 2^n for 0 < x < 2^63; -1022 for 0."""
    # The exponent of a double. With the bit after its leading one cleared, x cannot round up to the
    # next power of two.
    return ((x & ~(x >> 1)).to(torch.float64).view(torch.int64) >> 52) - 1022


def rounded(mantissa: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """round(mantissa * 2^shift), to nearest, ties to even; the shift keeps it below 2^49."""
    # Only a mantissa of 0 would be shifted further left. Only a float's, below 2^53, would be
    # shifted further right, and rounds to 0 from 54 on.
    scaled = mantissa << shift.clamp(0, 48)
    right = (-shift).clamp(0, 62)
    whole = scaled >> right
    rest = scaled - (whole << right)
    # rest > half, or rest == half and whole is odd; never where right is 0.
    up = 2 * rest + (whole & 1) > torch.ones_like(right) << right
    return whole + up
