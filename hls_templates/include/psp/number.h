// Numbers whose width follows from their range, and constants.
#ifndef PSP_NUMBER_H
#define PSP_NUMBER_H

#include <ap_int.h>

#if defined(PSP_EXACT_WIDTHS) && !defined(__SYNTHESIS__)
#include <cstdio>
#include <cstdlib>
#endif

namespace psp {

namespace detail {

// Bits of an unsigned number.
constexpr int unsigned_bits(long long value) { return value == 0 ? 0 : 1 + unsigned_bits(value >> 1); }

constexpr int larger(int a, int b) { return a > b ? a : b; }

// Bits of the narrowest two's complement number that holds LO .. HI.
constexpr int signed_bits(long long lo, long long hi) {
    return 1 + larger(unsigned_bits(lo < 0 ? -(lo + 1) : 0), unsigned_bits(hi < 0 ? 0 : hi));
}

constexpr int floor_div(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

constexpr int floor_mod(int a, int b) { return a - floor_div(a, b) * b; }

template <bool CONDITION, class A, class B>
struct Select {
    typedef A type;
};

template <class A, class B>
struct Select<false, A, B> {
    typedef B type;
};

}  // namespace detail

// Counters, operands and constants are words of exactly their width in synthesis. Elsewhere they are the C types that hold the
// same values, since ap_int counts several times slower. -DPSP_EXACT_WIDTHS gives the C simulation the words of synthesis, so
// that a word that is too narrow shows; the tests run both.
#if defined(__SYNTHESIS__) || defined(PSP_EXACT_WIDTHS)
#define PSP_WORDS_OF_SYNTHESIS 1
#else
#define PSP_WORDS_OF_SYNTHESIS 0
#endif

// A counter that runs from LO to HI.
template <int LO, int HI>
struct Counter {
#if PSP_WORDS_OF_SYNTHESIS
    typedef ap_int<detail::signed_bits(LO, HI)> type;
#else
    typedef int type;
#endif
};

// The C type in which products and sums of WIDTH bits are written. C promotes every product of chars to int as well;
// synthesis narrows such operators to the bits that their operands carry and their result keeps. Written this way the
// same lines run at machine speed in the C simulation.
template <int WIDTH>
struct Machine {
    typedef typename detail::Select<(WIDTH <= 31), int, long long>::type type;
};

namespace detail {

// The C type that holds WIDTH bits.
template <int WIDTH, bool IS_SIGNED>
struct Stored {
    static const int kBits = WIDTH + (IS_SIGNED ? 0 : 1);
    typedef typename Select<(kBits <= 32), int, long long>::type Wide;
    typedef typename Select<(kBits <= 8), signed char, typename Select<(kBits <= 16), short, Wide>::type>::type type;
};

#if defined(PSP_EXACT_WIDTHS) && !defined(__SYNTHESIS__)
// Ends the program: synthesis would cut this constant off.
inline long long does_not_fit(long long value, int width, bool is_signed) {
    std::fprintf(stderr, "the constant %lld does not fit ap_%sint<%d>\n", value, is_signed ? "" : "u", width);
    std::exit(2);
    return value;
}

// A constant that fits ap_int<WIDTH> or ap_uint<WIDTH>. A value that fits is stored when the program is compiled: g++ needs
// minutes for a large table of ap_int, and seconds for one of these.
template <int WIDTH, bool IS_SIGNED>
struct Checked {
    typedef typename Stored<WIDTH, IS_SIGNED>::type Value;
    Value value;

    static constexpr bool fits(long long number) {
        return IS_SIGNED ? (number >> (WIDTH - 1)) == (number < 0 ? -1 : 0) : ((number >> (WIDTH - 1)) >> 1) == 0;
    }

    constexpr Checked(long long number)
        : value(static_cast<Value>(fits(number) ? number : does_not_fit(number, WIDTH, IS_SIGNED))) {}
};
#endif

}  // namespace detail

// A constant of WIDTH bits in a table.
template <int WIDTH, bool IS_SIGNED>
struct Constant {
    static_assert(WIDTH <= 64, "A constant has at most 64 bits.");
#if defined(__SYNTHESIS__)
    typedef typename detail::Select<IS_SIGNED, ap_int<WIDTH>, ap_uint<WIDTH> >::type type;
#elif defined(PSP_EXACT_WIDTHS)
    typedef detail::Checked<WIDTH, IS_SIGNED> type;
#else
    typedef typename detail::Stored<WIDTH, IS_SIGNED>::type type;
#endif
};

// The value of a constant or an element as a machine number.
template <class M>
M number(signed char value) {
#pragma HLS INLINE
    return value;
}

template <class M>
M number(short value) {
#pragma HLS INLINE
    return value;
}

template <class M>
M number(int value) {
#pragma HLS INLINE
    return M(value);
}

template <class M>
M number(long long value) {
#pragma HLS INLINE
    return M(value);
}

template <class M, int WIDTH>
M number(const ap_int<WIDTH>& value) {
#pragma HLS INLINE
    return M(value.to_int64());
}

template <class M, int WIDTH>
M number(const ap_uint<WIDTH>& value) {
#pragma HLS INLINE
    return M(value.to_uint64());
}

#if defined(PSP_EXACT_WIDTHS) && !defined(__SYNTHESIS__)
template <class M, int WIDTH, bool IS_SIGNED>
M number(const detail::Checked<WIDTH, IS_SIGNED>& constant) {
    return M(constant.value);
}
#endif

}  // namespace psp

#endif  // PSP_NUMBER_H
