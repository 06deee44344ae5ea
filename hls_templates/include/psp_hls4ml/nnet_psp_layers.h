// Layers that hls4ml has not, or rounds otherwise: pooling over overlapping or padded windows, any saturation, thresholds.
//
// Each is an engine of psp between two short streams of its tokens. Convolution has a header of its own that goes without
// these streams (nnet_psp_conv2d.h); the layers here are few and small.
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

template <int PIXELS, class ELEMENT, int CHANNELS, class DATA>
void enter(DATA data, psp::Stream<typename psp::Token<ELEMENT, CHANNELS>::type> &in) {
    #pragma HLS INLINE off
Frame:
    for (int n = 0; n < PIXELS; ++n) {
        #pragma HLS PIPELINE II=1
        ELEMENT pixel[CHANNELS];
        #pragma HLS ARRAY_PARTITION variable=pixel complete dim=0
        take(data, n, pixel);
        in.write(psp::pack(pixel));
    }
}

template <int PIXELS, class ELEMENT, int CHANNELS, class RES>
void leave(psp::Stream<typename psp::Token<ELEMENT, CHANNELS>::type> &out, RES res) {
    #pragma HLS INLINE off
Frame:
    for (int n = 0; n < PIXELS; ++n) {
        #pragma HLS PIPELINE II=1
        ELEMENT pixel[CHANNELS];
        #pragma HLS ARRAY_PARTITION variable=pixel complete dim=0
        psp::unpack(out.read(), pixel);
        give(res, n, pixel);
    }
}

// The streams of a layer whose elements are In and OUT.
template <class CONFIG_T, class OUT>
struct Between {
    typedef typename CONFIG_T::In In;
    typedef psp::Stream<typename psp::Token<In, CONFIG_T::kChannels>::type> InStream;
    typedef psp::Stream<typename psp::Token<OUT, CONFIG_T::kChannels>::type> OutStream;
};

// The engines as processes of their own.
template <class CONFIG_T, class IN, class OUT>
void run_window_pool(IN &in, OUT &out, const psp::Offset (&taps)[CONFIG_T::kTaps]) {
    #pragma HLS INLINE off
    psp::window_pool<CONFIG_T>(in, out, taps);
}

template <class CONFIG_T, class IN, class OUT>
void run_global_pool(IN &in, OUT &out) {
    #pragma HLS INLINE off
    psp::global_pool<CONFIG_T>(in, out);
}

template <class CONFIG_T, class IN, class OUT>
void run_pointwise(IN &in, OUT &out) {
    #pragma HLS INLINE off
    psp::pointwise<CONFIG_T>(in, out);
}

template <class CONFIG_T, class IN, class OUT, class LEVEL, class START, class STEP>
void run_threshold(IN &in, OUT &out, const LEVEL &levels, const START &start, const STEP &step) {
    #pragma HLS INLINE off
    psp::threshold<CONFIG_T>(in, out, levels, start, step);
}

template <class CONFIG_T, class DATA, class RES>
void window_pool(DATA data, RES res, const psp::Offset (&taps)[CONFIG_T::kTaps]) {
    #pragma HLS DATAFLOW
    typedef typename CONFIG_T::Pool::Out Out;
    typename Between<CONFIG_T, Out>::InStream in("in");
    typename Between<CONFIG_T, Out>::OutStream out("out");
    enter<CONFIG_T::kInPixels, typename CONFIG_T::In, CONFIG_T::kChannels, DATA>(data, in);
    run_window_pool<CONFIG_T>(in, out, taps);
    leave<CONFIG_T::kOutPixels, Out, CONFIG_T::kChannels, RES>(out, res);
}

template <class CONFIG_T, class DATA, class RES>
void global_pool(DATA data, RES res) {
    #pragma HLS DATAFLOW
    typedef typename CONFIG_T::Pool::Out Out;
    typename Between<CONFIG_T, Out>::InStream in("in");
    typename Between<CONFIG_T, Out>::OutStream out("out");
    enter<CONFIG_T::kInPixels, typename CONFIG_T::In, CONFIG_T::kChannels, DATA>(data, in);
    run_global_pool<CONFIG_T>(in, out);
    leave<CONFIG_T::kOutPixels, Out, CONFIG_T::kChannels, RES>(out, res);
}

template <class CONFIG_T, class DATA, class RES>
void pointwise(DATA data, RES res) {
    #pragma HLS DATAFLOW
    typedef typename CONFIG_T::Finish::Out Out;
    typename Between<CONFIG_T, Out>::InStream in("in");
    typename Between<CONFIG_T, Out>::OutStream out("out");
    enter<CONFIG_T::kInPixels, typename CONFIG_T::In, CONFIG_T::kChannels, DATA>(data, in);
    run_pointwise<CONFIG_T>(in, out);
    leave<CONFIG_T::kOutPixels, Out, CONFIG_T::kChannels, RES>(out, res);
}

template <class CONFIG_T, class DATA, class RES, class LEVEL, class START, class STEP>
void threshold(DATA data, RES res, const LEVEL &levels, const START &start, const STEP &step) {
    #pragma HLS DATAFLOW
    typedef typename CONFIG_T::Out Out;
    typename Between<CONFIG_T, Out>::InStream in("in");
    typename Between<CONFIG_T, Out>::OutStream out("out");
    enter<CONFIG_T::kInPixels, typename CONFIG_T::In, CONFIG_T::kChannels, DATA>(data, in);
    run_threshold<CONFIG_T>(in, out, levels, start, step);
    leave<CONFIG_T::kOutPixels, Out, CONFIG_T::kChannels, RES>(out, res);
}

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
    psp_ports::window_pool<CONFIG_T, hls::stream<data_T> &, hls::stream<res_T> &>(data, res, taps);
}

template <class data_T, class res_T, typename CONFIG_T>
void psp_window_pool(data_T data[CONFIG_T::kInPixels * CONFIG_T::kChannels],
                     res_T res[CONFIG_T::kOutPixels * CONFIG_T::kChannels],
                     const psp::Offset (&taps)[CONFIG_T::kTaps]) {
    psp_ports::window_pool<CONFIG_T, const data_T *, res_T *>(data, res, taps);
}

template <class data_T, class res_T, typename CONFIG_T>
void psp_global_pool(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    psp_ports::global_pool<CONFIG_T, hls::stream<data_T> &, hls::stream<res_T> &>(data, res);
}

template <class data_T, class res_T, typename CONFIG_T>
void psp_global_pool(data_T data[CONFIG_T::kInPixels * CONFIG_T::kChannels],
                     res_T res[CONFIG_T::kOutPixels * CONFIG_T::kChannels]) {
    psp_ports::global_pool<CONFIG_T, const data_T *, res_T *>(data, res);
}

template <class data_T, class res_T, typename CONFIG_T>
void psp_pointwise(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    psp_ports::pointwise<CONFIG_T, hls::stream<data_T> &, hls::stream<res_T> &>(data, res);
}

template <class data_T, class res_T, typename CONFIG_T>
void psp_pointwise(data_T data[CONFIG_T::kInPixels * CONFIG_T::kChannels],
                   res_T res[CONFIG_T::kOutPixels * CONFIG_T::kChannels]) {
    psp_ports::pointwise<CONFIG_T, const data_T *, res_T *>(data, res);
}

template <class data_T, class res_T, typename CONFIG_T, class LEVEL, class START, class STEP>
void psp_threshold(hls::stream<data_T> &data, hls::stream<res_T> &res, const LEVEL &levels, const START &start,
                   const STEP &step) {
    psp_ports::threshold<CONFIG_T, hls::stream<data_T> &, hls::stream<res_T> &>(data, res, levels, start, step);
}

template <class data_T, class res_T, typename CONFIG_T, class LEVEL, class START, class STEP>
void psp_threshold(data_T data[CONFIG_T::kInPixels * CONFIG_T::kChannels],
                   res_T res[CONFIG_T::kOutPixels * CONFIG_T::kChannels], const LEVEL &levels, const START &start,
                   const STEP &step) {
    psp_ports::threshold<CONFIG_T, const data_T *, res_T *>(data, res, levels, start, step);
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
