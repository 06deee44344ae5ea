// How the products of an engine are made: as the tool decides, in LUTs, in a DSP each, or two in one DSP.
//
// Left alone, both tools put a product in LUTs unless one operand is wider than 10 bits, and so leave a part's DSPs idle at
// 8 x 8 bits. A pragma binds an operation through the variable that takes its result; so each kind is a type with a
// function that has such a variable, and the configuration of a layer names the type. The values are the same for all.
//
// Every kind has
//   kAtOnce               output channels whose products with one operand are made together
//   add(x, w, sums)       sums[s] += x * w[s]
#ifndef PSP_MULTIPLY_H
#define PSP_MULTIPLY_H

#include "psp/number.h"

namespace psp {

namespace detail {

// An operand or a product of WIDTH bits, sign included: a word of that width in synthesis (psp/number.h). C++ multiplies in the type
// of its operands, so there an operand has the type of its product, of PRODUCT bits.
template <int WIDTH, int PRODUCT = WIDTH>
struct Word {
#if PSP_WORDS_OF_SYNTHESIS
    typedef ap_int<WIDTH> type;
#else
    typedef typename Select<(PRODUCT <= 64), typename Machine<PRODUCT>::type, ap_int<WIDTH> >::type type;
#endif
};

// A number times 2^LANE; the result fits its type.
template <int LANE, int WIDTH>
ap_int<WIDTH> raised(const ap_int<WIDTH>& value) {
#pragma HLS INLINE
    return value << LANE;
}

template <int LANE>
long long raised(long long value) {
    return value * (1LL << LANE);
}

// The low LANE bits of a number, read as a signed number.
template <int LANE, int WIDTH>
ap_int<LANE> low_bits(const ap_int<WIDTH>& value) {
#pragma HLS INLINE
    return ap_int<LANE>(value);
}

template <int LANE>
long long low_bits(long long value) {
    const long long half = 1LL << (LANE - 1);
    return ((value + half) & (2 * half - 1)) - half;
}

}  // namespace detail

// No pragma: the tool decides by the widths.
struct ByTool {
    static const int kAtOnce = 1;

    template <class N>
    static void add(N x, const N (&w)[1], N (&sums)[1]) {
#pragma HLS INLINE
        sums[0] += x * w[0];
    }
};

// X_BITS, W_BITS: of the two operands, sign included.
template <int X_BITS, int W_BITS>
struct InLuts {
    static const int kAtOnce = 1;

    template <class N>
    static void add(N x, const N (&w)[1], N (&sums)[1]) {
#pragma HLS INLINE
        const typename detail::Word<X_BITS, X_BITS + W_BITS>::type left = x;
        const typename detail::Word<W_BITS, X_BITS + W_BITS>::type right = w[0];
        const typename detail::Word<X_BITS + W_BITS>::type product = left * right;
#ifdef __VITIS_HLS__
#pragma HLS BIND_OP variable=product op=mul impl=fabric
#else
#pragma HLS RESOURCE variable=product core=Mul_LUT
#endif
        sums[0] += number<N>(product);
    }
};

template <int X_BITS, int W_BITS>
struct InDsp {
    static const int kAtOnce = 1;

    template <class N>
    static void add(N x, const N (&w)[1], N (&sums)[1]) {
#pragma HLS INLINE
        const typename detail::Word<X_BITS, X_BITS + W_BITS>::type left = x;
        const typename detail::Word<W_BITS, X_BITS + W_BITS>::type right = w[0];
        const typename detail::Word<X_BITS + W_BITS>::type product = left * right;
#ifdef __VITIS_HLS__
#pragma HLS BIND_OP variable=product op=mul impl=dsp
#else
#pragma HLS RESOURCE variable=product core=DSP48
#endif
        sums[0] += number<N>(product);
    }
};

// Two weights times one operand in one DSP: (w1 * 2^LANE + w0) * x = w1 * x * 2^LANE + w0 * x.
//
// Where w0 * x fits LANE bits with its sign, it is the low LANE bits of the product, read as a signed number; what remains
// after taking it away is w1 * x, exactly. (After WP486, whose lanes have 18 bits. Lanes of just the bits that are needed, 16
// at 8 x 8 bits, let two such products fit the 25 bits of a DSP48E1 too.)
template <int X_BITS, int W_BITS, int LANE>
struct InDspPairs {
    static const int kAtOnce = 2;
    static const int kPackedBits = LANE + W_BITS + 1;

    template <class N>
    static void add(N x, const N (&w)[2], N (&sums)[2]) {
#pragma HLS INLINE
        typedef typename detail::Word<kPackedBits>::type Packed;
        typedef typename detail::Word<kPackedBits + X_BITS>::type Products;
        typedef typename detail::Word<LANE>::type Lane;
        const typename detail::Word<X_BITS>::type shared = x;
        const Packed low = w[0];
        const Packed high = w[1];
        const Packed packed = detail::raised<LANE>(high) + low;
        const Products products = Products(packed) * shared;
#ifdef __VITIS_HLS__
#pragma HLS BIND_OP variable=products op=mul impl=dsp
#else
#pragma HLS RESOURCE variable=products core=DSP48
#endif
        const Lane lower = detail::low_bits<LANE>(products);
        const Lane upper = Lane(Products(products - lower) >> LANE);
        sums[0] += number<N>(lower);
        sums[1] += number<N>(upper);
    }
};

}  // namespace psp

#endif  // PSP_MULTIPLY_H
