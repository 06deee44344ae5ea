// How the engines of psp take pixels from hls4ml and give pixels back.
//
// Between layers hls4ml carries fixed-point numbers: with io_stream one nnet::array of all channels per pixel, with
// io_parallel one array of the whole frame. Inside, an engine computes with the integers of the same bits; what the bits
// stand for is kept in the types of hls4ml alone. Both ways are wiring.
#ifndef NNET_PSP_PORTS_H_
#define NNET_PSP_PORTS_H_

#include "ap_fixed.h"
#include "hls_stream.h"
#include "psp/ports.h"

namespace nnet {
namespace psp_ports {

// The integer whose bits a fixed-point number has.
template <class INTEGER, class FIXED>
INTEGER code(const FIXED &value) {
    #pragma HLS INLINE
    static_assert(INTEGER::width == FIXED::width, "A number keeps its bits.");
    INTEGER integer;
    integer.range(INTEGER::width - 1, 0) = value.range(FIXED::width - 1, 0);
    return integer;
}

// The fixed-point number whose bits an integer has.
template <class FIXED, class INTEGER>
FIXED value(const INTEGER &integer) {
    #pragma HLS INLINE
    static_assert(INTEGER::width == FIXED::width, "A number keeps its bits.");
    FIXED fixed;
    fixed.range(FIXED::width - 1, 0) = integer.range(INTEGER::width - 1, 0);
    return fixed;
}

#if !PSP_WORDS_OF_SYNTHESIS
// A flat array as machine integers, decoded once: g++ multiplies those many times faster than ap_fixed. Only the C simulation
// has it; -DPSP_EXACT_WIDTHS gives that, too, what synthesis sees, the array itself (psp/number.h).
template <class FIXED, int SIZE>
struct Decoded {
    typename psp::Constant<FIXED::width, true>::type entries[SIZE];

    explicit Decoded(const FIXED (&flat)[SIZE]) {
        for (int n = 0; n < SIZE; ++n) entries[n] = code<ap_int<FIXED::width> >(flat[n]).to_int64();
    }
};
#endif

// Constants as hls4ml keeps them, in one flat array (psp/ports.h).
struct Constants {
    template <class NUMBER, int COLUMNS, class FIXED, int SIZE>
    static NUMBER entry(const FIXED (&flat)[SIZE], int row, int column) {
        #pragma HLS INLINE
        return psp::number<NUMBER>(code<ap_int<FIXED::width> >(flat[row * COLUMNS + column]));
    }

#if !PSP_WORDS_OF_SYNTHESIS
    template <class NUMBER, int COLUMNS, class FIXED, int SIZE>
    static NUMBER entry(const Decoded<FIXED, SIZE> &decoded, int row, int column) {
        return psp::number<NUMBER>(decoded.entries[row * COLUMNS + column]);
    }
#endif
};

// io_stream: one nnet::array of all channels per pixel.
template <class data_T, class res_T>
struct Streams : Constants {
    typedef hls::stream<data_T> &In;
    typedef hls::stream<res_T> &Out;

    template <class ELEMENT, int CHANNELS>
    static void take(In data, int, ELEMENT (&pixel)[CHANNELS]) {
        #pragma HLS INLINE
        static_assert(data_T::size == CHANNELS, "A token is one pixel.");
        const data_T token = data.read();
    TakeChannels:
        for (int c = 0; c < CHANNELS; ++c) {
            #pragma HLS UNROLL
            pixel[c] = code<ELEMENT>(token[c]);
        }
    }

    template <class ELEMENT, int CHANNELS>
    static void give(Out res, int, const ELEMENT (&pixel)[CHANNELS]) {
        #pragma HLS INLINE
        static_assert(res_T::size == CHANNELS, "A token is one pixel.");
        res_T token;
    GiveChannels:
        for (int c = 0; c < CHANNELS; ++c) {
            #pragma HLS UNROLL
            token[c] = value<typename res_T::value_type>(pixel[c]);
        }
        res.write(token);
    }
};

// io_parallel: the whole frame in an array, pixel after pixel.
template <class data_T, class res_T>
struct Arrays : Constants {
    typedef const data_T *In;
    typedef res_T *Out;

    template <class ELEMENT, int CHANNELS>
    static void take(In data, int n, ELEMENT (&pixel)[CHANNELS]) {
        #pragma HLS INLINE
    TakeChannels:
        for (int c = 0; c < CHANNELS; ++c) {
            #pragma HLS UNROLL
            pixel[c] = code<ELEMENT>(data[n * CHANNELS + c]);
        }
    }

    template <class ELEMENT, int CHANNELS>
    static void give(Out res, int n, const ELEMENT (&pixel)[CHANNELS]) {
        #pragma HLS INLINE
    GiveChannels:
        for (int c = 0; c < CHANNELS; ++c) {
            #pragma HLS UNROLL
            res[n * CHANNELS + c] = value<res_T>(pixel[c]);
        }
    }
};

}  // namespace psp_ports
}  // namespace nnet

#endif
