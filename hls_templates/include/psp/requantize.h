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
    if (value < LO) return OUT(LO);
    if (value > HI) return OUT(HI);
    return OUT(value);
}

}  // namespace detail

// acc << SHIFT, saturated to LO .. HI.
template <class OUT, int SHIFT, long long LO, long long HI>
struct ShiftLeft {
    typedef OUT Out;

    template <int WIDTH>
    static OUT finish(const ap_int<WIDTH>& acc) {
#pragma HLS INLINE
        typedef ap_int<WIDTH + SHIFT> Wide;
        return detail::saturate<OUT, LO, HI>(Wide(Wide(acc) << SHIFT));
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
// The bits below 2**SHIFT are set aside: they decide only between neighbours, since floor(acc / (D * 2**SHIFT)) is
// floor(floor(acc / 2**SHIFT) / D). That quotient is a product with the reciprocal. With a = acc / 2**SHIFT + kOffset * D of
// 0 .. 2**n - 1, s = n + bits(D) and m = ceil(2**s / D), floor(a * m / 2**s) = floor(a / D): m * D exceeds 2**s by less than
// D, so the error of a * m / 2**s is below a / 2**s < 1 / D (Granlund and Montgomery, 1994).
template <class OUT, int SHIFT, int DIVISOR, long long LO, long long HI>
struct Divide {
    static_assert(DIVISOR > 1 && DIVISOR % 2 == 1, "The divisor is odd; twos belong to the shift.");
    typedef OUT Out;

    template <int WIDTH>
    static OUT finish(const ap_int<WIDTH>& acc) {
#pragma HLS INLINE
        const int kLeft = SHIFT < 0 ? -SHIFT : 0;
        const int kRight = SHIFT < 0 ? 0 : SHIFT;
        const int kWhole = detail::larger(WIDTH + kLeft, kRight) + 1;
        const int kHigh = detail::larger(WIDTH + kLeft - kRight, 1);
        const int kDivisorBits = detail::unsigned_bits(DIVISOR);
        const int kBits = detail::larger(kHigh, kDivisorBits) + 1;
        const int kScale = kBits + kDivisorBits;
        static_assert(kScale <= 62, "The accumulator is too wide for a division by a constant.");
        const long long kOffset = ((1LL << (kHigh - 1)) + DIVISOR - 1) / DIVISOR;
        const long long kReciprocal = ((1LL << kScale) + DIVISOR - 1) / DIVISOR;

        const ap_int<kWhole> whole = ap_int<kWhole>(acc) << kLeft;
        const ap_int<kHigh> high = whole >> kRight;
        const ap_uint<kRight + 1> twice_low = whole << 1;  // the kRight bits that high leaves out
        const ap_uint<kBits> raised = ap_int<kBits + 1>(high) + ap_int<kBits + 1>(kOffset * DIVISOR);
        const ap_uint<2 * kBits + 2> product = raised * ap_uint<kBits + 2>(kReciprocal);
        const ap_uint<kBits> floor = product >> kScale;
        const ap_uint<kDivisorBits> rest = raised - floor * ap_uint<kDivisorBits>(DIVISOR);
        const ap_int<kBits + 2> quotient = ap_int<kBits + 2>(floor) - ap_int<kBits + 2>(kOffset);
        // Half of the divisor lies between two remainders: on the lower one the bits set aside decide.
        const ap_uint<kRight + 1> unit = ap_uint<kRight + 1>(1) << kRight;
        const bool past = twice_low > unit || (twice_low == unit && quotient[0]);
        const bool up = rest > DIVISOR / 2 || (rest == DIVISOR / 2 && past);
        return detail::saturate<OUT, LO, HI>(ap_int<kBits + 2>(quotient + (up ? 1 : 0)));
    }
};

}  // namespace psp

#endif  // PSP_REQUANTIZE_H
