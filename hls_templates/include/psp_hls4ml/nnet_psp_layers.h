// Layers that hls4ml has not, or rounds otherwise: pooling over overlapping or padded windows, any saturation, thresholds.
//
// Each is an engine of psp, joined to what hls4ml carries between layers (nnet_psp_ports.h).
//
// config3 names the layer as its engine asks (psp/pool.h, psp/pointwise.h), and also
//   kInPixels, kOutPixels    pixels of the frame that enters and of the one that leaves
#ifndef NNET_PSP_LAYERS_H_
#define NNET_PSP_LAYERS_H_

#include "nnet_psp_ports.h"
#include "psp/pointwise.h"
#include "psp/pool.h"

namespace nnet {
namespace psp_ports {

template <class T>
void write_copies(int, const T &) {
    #pragma HLS INLINE
}

template <class T, class... COPIES>
void write_copies(int at, const T &value, T *first, COPIES *... rest) {
    #pragma HLS INLINE
    first[at] = value;
    write_copies(at, value, rest...);
}

}  // namespace psp_ports

// With io_stream a layer reads and writes a stream, with io_parallel an array.
//
// taps     place of each position of the window relative to the output pixel
// levels   ascending thresholds of every channel; start, step: the result below them and what each adds

template <class data_T, class res_T, typename CONFIG_T>
void psp_window_pool(hls::stream<data_T> &data, hls::stream<res_T> &res, const psp::Offset (&taps)[CONFIG_T::kTaps]) {
    #pragma HLS INLINE off
    psp::window_pool<CONFIG_T, psp_ports::Streams<data_T, res_T> >(data, res, taps);
}

template <class data_T, class res_T, typename CONFIG_T>
void psp_window_pool(data_T data[CONFIG_T::kInPixels * CONFIG_T::kChannels],
                     res_T res[CONFIG_T::kOutPixels * CONFIG_T::kChannels],
                     const psp::Offset (&taps)[CONFIG_T::kTaps]) {
    #pragma HLS INLINE off
    psp::window_pool<CONFIG_T, psp_ports::Arrays<data_T, res_T> >(data, res, taps);
}

template <class data_T, class res_T, typename CONFIG_T>
void psp_global_pool(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    #pragma HLS INLINE off
    psp::global_pool<CONFIG_T, psp_ports::Streams<data_T, res_T> >(data, res);
}

template <class data_T, class res_T, typename CONFIG_T>
void psp_global_pool(data_T data[CONFIG_T::kInPixels * CONFIG_T::kChannels],
                     res_T res[CONFIG_T::kOutPixels * CONFIG_T::kChannels]) {
    #pragma HLS INLINE off
    psp::global_pool<CONFIG_T, psp_ports::Arrays<data_T, res_T> >(data, res);
}

template <class data_T, class res_T, typename CONFIG_T>
void psp_pointwise(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    #pragma HLS INLINE off
    psp::pointwise<CONFIG_T, psp_ports::Streams<data_T, res_T> >(data, res);
}

template <class data_T, class res_T, typename CONFIG_T>
void psp_pointwise(data_T data[CONFIG_T::kInPixels * CONFIG_T::kChannels],
                   res_T res[CONFIG_T::kOutPixels * CONFIG_T::kChannels]) {
    #pragma HLS INLINE off
    psp::pointwise<CONFIG_T, psp_ports::Arrays<data_T, res_T> >(data, res);
}

template <class data_T, class res_T, typename CONFIG_T, class LEVEL, class START, class STEP>
void psp_threshold(hls::stream<data_T> &data, hls::stream<res_T> &res, const LEVEL &levels, const START &start,
                   const STEP &step) {
    #pragma HLS INLINE off
    psp::threshold<CONFIG_T, psp_ports::Streams<data_T, res_T> >(data, res, levels, start, step);
}

template <class data_T, class res_T, typename CONFIG_T, class LEVEL, class START, class STEP>
void psp_threshold(data_T data[CONFIG_T::kInPixels * CONFIG_T::kChannels],
                   res_T res[CONFIG_T::kOutPixels * CONFIG_T::kChannels], const LEVEL &levels, const START &start,
                   const STEP &step) {
    #pragma HLS INLINE off
    psp::threshold<CONFIG_T, psp_ports::Arrays<data_T, res_T> >(data, res, levels, start, step);
}

// An array for every reader of a value: a dataflow region reads an array in one place only. CONFIG_T: kElements.
template <typename CONFIG_T, class data_T, class... COPIES>
void psp_fork(data_T *data, COPIES *... copies) {
    #pragma HLS INLINE off
    #pragma HLS PIPELINE
Elements:
    for (int n = 0; n < CONFIG_T::kElements; ++n) {
        #pragma HLS UNROLL
        psp_ports::write_copies(n, data[n], copies...);
    }
}

}  // namespace nnet

#endif
