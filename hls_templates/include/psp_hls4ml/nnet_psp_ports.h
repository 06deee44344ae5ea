// How the engines of psp take pixels from hls4ml and give pixels back.
//
// Between layers hls4ml carries fixed-point numbers: with io_stream one nnet::array of all channels per pixel, with
// io_parallel one array of the whole frame. Inside, an engine computes with the integers of the same bits; what the bits
// stand for is kept in the types of hls4ml alone. Both ways are wiring.
#ifndef NNET_PSP_PORTS_H_
#define NNET_PSP_PORTS_H_

#include "ap_fixed.h"
#include "hls_stream.h"
#include "psp/number.h"

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

// Pixels of a frame in raster order. The index of the pixel says where it lies in an array; a stream needs none.
template <class data_T, class ELEMENT, int CHANNELS>
void take(hls::stream<data_T> &data, int, ELEMENT (&pixel)[CHANNELS]) {
    #pragma HLS INLINE
    static_assert(data_T::size == CHANNELS, "A token is one pixel.");
    const data_T token = data.read();
TakeChannels:
    for (int c = 0; c < CHANNELS; ++c) {
        #pragma HLS UNROLL
        pixel[c] = code<ELEMENT>(token[c]);
    }
}

template <class data_T, class ELEMENT, int CHANNELS>
void take(const data_T *data, int at, ELEMENT (&pixel)[CHANNELS]) {
    #pragma HLS INLINE
TakeChannels:
    for (int c = 0; c < CHANNELS; ++c) {
        #pragma HLS UNROLL
        pixel[c] = code<ELEMENT>(data[at * CHANNELS + c]);
    }
}

template <class res_T, class ELEMENT, int CHANNELS>
void give(hls::stream<res_T> &res, int, const ELEMENT (&pixel)[CHANNELS]) {
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

template <class res_T, class ELEMENT, int CHANNELS>
void give(res_T *res, int at, const ELEMENT (&pixel)[CHANNELS]) {
    #pragma HLS INLINE
GiveChannels:
    for (int c = 0; c < CHANNELS; ++c) {
        #pragma HLS UNROLL
        res[at * CHANNELS + c] = value<res_T>(pixel[c]);
    }
}

}  // namespace psp_ports
}  // namespace nnet

#endif
