// What happens to an exact accumulator before it leaves an engine: align, scale, round, saturate.
//
// Every way of finishing has one function, finish(acc), of which the argument is any ap_int that holds the accumulator.
#ifndef PSP_REQUANTIZE_H
#define PSP_REQUANTIZE_H

#include "psp/number.h"

namespace psp {

// Leave the accumulator as it is; OUT holds it.
template <class OUT>
struct Keep {
    typedef OUT Out;

    template <int WIDTH>
    static OUT finish(const ap_int<WIDTH>& acc) {
#pragma HLS INLINE
        return OUT(acc);
    }
};

namespace detail {

template <class OUT, long long LO, long long HI, int WIDTH>
OUT saturate(const ap_int<WIDTH>& value) {
#pragma HLS INLINE
    const ap_int<larger(WIDTH, signed_bits(LO, HI))> wide = value;
    if (wide < LO) return OUT(LO);
    if (wide > HI) return OUT(HI);
    return OUT(wide);
}

}  // namespace detail

// acc << SHIFT, saturated to LO .. HI.
template <class OUT, int SHIFT, long long LO, long long HI>
struct ShiftLeft {
    typedef OUT Out;

    template <int WIDTH>
    static OUT finish(const ap_int<WIDTH>& acc) {
#pragma HLS INLINE
        const ap_int<WIDTH + SHIFT> wide = acc;
        return detail::saturate<OUT, LO, HI>(ap_int<WIDTH + SHIFT>(wide << SHIFT));
    }
};

// acc / 2**SHIFT, rounded half to even, saturated to LO .. HI.
template <class OUT, int SHIFT, long long LO, long long HI>
struct ShiftRight {
    static_assert(SHIFT >= 1, "Rounding needs a bit to round away.");
    typedef OUT Out;

    template <int WIDTH>
    static OUT finish(const ap_int<WIDTH>& acc) {
#pragma HLS INLINE
        // Wide enough for the bits below the result and, above, for one that rounding up may carry into.
        const int kWidth = detail::larger(WIDTH, SHIFT + 1) + 1;
        const ap_int<kWidth> wide = acc;
        const ap_int<kWidth> floor = wide >> SHIFT;
        const ap_uint<SHIFT> rest = wide.range(SHIFT - 1, 0);
        const ap_uint<SHIFT> half = ap_uint<SHIFT>(1) << (SHIFT - 1);
        const bool up = rest > half || (rest == half && floor[0]);
        return detail::saturate<OUT, LO, HI>(ap_int<kWidth>(floor + (up ? 1 : 0)));
    }
};

// acc / (DIVISOR * 2**SHIFT), rounded half to even, saturated to LO .. HI; DIVISOR is odd, SHIFT may be negative.
//
// The quotient is a product with the reciprocal. With D = DIVISOR * 2**SHIFT, a = acc + kOffset * D of 0 .. 2**n - 1,
// s = n + bits(D) and m = ceil(2**s / D), floor(a * m / 2**s) = floor(a / D): m * D exceeds 2**s by less than D, so the
// error of a * m / 2**s is below a / 2**s < 1 / D (Granlund and Montgomery, 1994).
template <class OUT, int SHIFT, int DIVISOR, long long LO, long long HI>
struct Divide {
    static_assert(DIVISOR > 1 && DIVISOR % 2 == 1, "The divisor is odd; twos belong to the shift.");
    typedef OUT Out;

    template <int WIDTH>
    static OUT finish(const ap_int<WIDTH>& acc) {
#pragma HLS INLINE
        const int kLeft = SHIFT < 0 ? -SHIFT : 0;
        const int kWide = WIDTH + kLeft;
        const long long kBy = static_cast<long long>(DIVISOR) << (SHIFT < 0 ? 0 : SHIFT);
        const int kByBits = detail::unsigned_bits(kBy);
        const int kBits = detail::larger(kWide, kByBits) + 1;
        const int kScale = kBits + kByBits;
        static_assert(kScale <= 62, "The accumulator is too wide for a division by a constant.");
        const long long kOffset = ((1LL << (kWide - 1)) + kBy - 1) / kBy;
        const long long kReciprocal = ((1LL << kScale) + kBy - 1) / kBy;

        const ap_int<kBits + 1> scaled = ap_int<kBits + 1>(acc) << kLeft;
        const ap_uint<kBits> raised = scaled + ap_int<kBits + 1>(kOffset * kBy);
        const ap_uint<2 * kBits + 2> product = raised * ap_uint<kBits + 2>(kReciprocal);
        const ap_uint<kBits> floor = product >> kScale;
        const ap_uint<kByBits> rest = raised - floor * ap_uint<kByBits>(kBy);
        const ap_uint<kByBits + 1> twice = ap_uint<kByBits + 1>(rest) << 1;
        const ap_int<kBits + 2> quotient = ap_int<kBits + 2>(floor) - ap_int<kBits + 2>(kOffset);
        const bool up = twice > kBy || (twice == kBy && quotient[0]);
        return detail::saturate<OUT, LO, HI>(ap_int<kBits + 2>(quotient + (up ? 1 : 0)));
    }
};

}  // namespace psp

#endif  // PSP_REQUANTIZE_H
