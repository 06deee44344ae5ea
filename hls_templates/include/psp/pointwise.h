// Engines that take and give one pixel per iteration: sum, affine map, thresholds, requantization, concatenation, copies.
//
// Nothing is carried from one iteration to the next, every channel is read or written once per iteration: II = 1.
#ifndef PSP_POINTWISE_H
#define PSP_POINTWISE_H

#include "psp/ports.h"
#include "psp/requantize.h"

namespace psp {

// Finish(left << kLeftShift) + (right << kRightShift)), pixel by pixel.
//
// CONFIG names the layer: Left, Right, Sum, Finish, kChannels, kPixels, kLeftShift, kRightShift.
template <class CONFIG>
void add(Stream<typename Token<typename CONFIG::Left, CONFIG::kChannels>::type>& left,
         Stream<typename Token<typename CONFIG::Right, CONFIG::kChannels>::type>& right,
         Stream<typename Token<typename CONFIG::Finish::Out, CONFIG::kChannels>::type>& out) {
#pragma HLS INLINE
    typedef typename CONFIG::Sum Sum;

Frame:
    for (int n = 0; n < CONFIG::kPixels; ++n) {
#pragma HLS PIPELINE II=1
        typename CONFIG::Left a[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=a complete dim=0
        typename CONFIG::Right b[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=b complete dim=0
        typename CONFIG::Finish::Out result[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=result complete dim=0
        unpack(left.read(), a);
        unpack(right.read(), b);
    Channels:
        for (int c = 0; c < CONFIG::kChannels; ++c) {
#pragma HLS UNROLL
            const Sum sum = (Sum(a[c]) << CONFIG::kLeftShift) + (Sum(b[c]) << CONFIG::kRightShift);
            result[c] = CONFIG::Finish::finish(sum);
        }
        out.write(pack(result));
    }
}

// Rectify or requantize every element. CONFIG names the layer: In, Finish, kChannels, kPixels.
template <class CONFIG, class PORTS = TokenPorts<typename CONFIG::In, CONFIG::kChannels, typename CONFIG::Finish::Out,
                                                CONFIG::kChannels> >
void pointwise(typename PORTS::In in, typename PORTS::Out out) {
#pragma HLS INLINE
    typedef ap_int<CONFIG::In::width + 1> Wide;  // signed, whether In is or not

Frame:
    for (int n = 0; n < CONFIG::kPixels; ++n) {
#pragma HLS PIPELINE II=1
        typename CONFIG::In pixel[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=pixel complete dim=0
        typename CONFIG::Finish::Out result[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=result complete dim=0
        PORTS::take(in, n, pixel);
    Channels:
        for (int c = 0; c < CONFIG::kChannels; ++c) {
#pragma HLS UNROLL
            result[c] = CONFIG::Finish::finish(Wide(pixel[c]));
        }
        PORTS::give(out, n, result);
    }
}

// in * scale + offset for every channel, requantized. Scale and offset are constants: every channel has its own logic.
//
// CONFIG names the layer: In, Acc (holds products and sums), Finish, kChannels, kPixels.
template <class CONFIG, class SCALE, class OFFSET>
void affine(Stream<typename Token<typename CONFIG::In, CONFIG::kChannels>::type>& in,
            Stream<typename Token<typename CONFIG::Finish::Out, CONFIG::kChannels>::type>& out,
            const SCALE (&scale)[1][CONFIG::kChannels], const OFFSET (&offset)[1][CONFIG::kChannels]) {
#pragma HLS INLINE
    typedef typename CONFIG::Acc Acc;
    typedef typename Machine<Acc::width>::type Number;

Frame:
    for (int n = 0; n < CONFIG::kPixels; ++n) {
#pragma HLS PIPELINE II=1
        typename CONFIG::In pixel[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=pixel complete dim=0
        typename CONFIG::Finish::Out result[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=result complete dim=0
        unpack(in.read(), pixel);
    Channels:
        for (int c = 0; c < CONFIG::kChannels; ++c) {
#pragma HLS UNROLL
            const Number product = number<Number>(pixel[c]) * number<Number>(scale[0][c]);
            result[c] = CONFIG::Finish::finish(Acc(product + number<Number>(offset[0][c])));
        }
        out.write(pack(result));
    }
}

// start + step * (how many thresholds are at most in) for every channel; all comparisons are with constants, at once.
//
// CONFIG names the layer: In, Out, kChannels, kLevels, kLevelBits (width of a threshold, with a sign), kPixels.
template <class CONFIG,
          class PORTS = TokenPorts<typename CONFIG::In, CONFIG::kChannels, typename CONFIG::Out, CONFIG::kChannels>,
          class LEVEL, class START, class STEP>
void threshold(typename PORTS::In in, typename PORTS::Out out,
               const LEVEL (&thresholds)[CONFIG::kChannels][CONFIG::kLevels],
               const START (&start)[1][CONFIG::kChannels], const STEP (&step)[1][CONFIG::kChannels]) {
#pragma HLS INLINE
    typedef typename Machine<detail::larger(CONFIG::In::width + 1, CONFIG::kLevelBits)>::type Number;

Frame:
    for (int n = 0; n < CONFIG::kPixels; ++n) {
#pragma HLS PIPELINE II=1
        typename CONFIG::In pixel[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=pixel complete dim=0
        typename CONFIG::Out result[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=result complete dim=0
        PORTS::take(in, n, pixel);
    Channels:
        for (int c = 0; c < CONFIG::kChannels; ++c) {
#pragma HLS UNROLL
            int reached = 0;
        Levels:
            for (int l = 0; l < CONFIG::kLevels; ++l) {
#pragma HLS UNROLL
                if (number<Number>(thresholds[c][l]) <= number<Number>(pixel[c])) ++reached;
            }
            result[c] = typename CONFIG::Out(number<long long>(start[0][c]) + number<long long>(step[0][c]) * reached);
        }
        PORTS::give(out, n, result);
    }
}

// One input of a concatenation: CHANNELS elements of type T, shifted left by SHIFT to the common scale.
template <class T, int CHANNELS, int SHIFT>
struct Part {
    typedef T Element;
    typedef typename Token<T, CHANNELS>::type InToken;
    static const int kChannels = CHANNELS;
    static const int kShift = SHIFT;
};

namespace detail {

template <class OUT, int CHANNELS, int AT>
void gather(OUT (&)[CHANNELS]) {
#pragma HLS INLINE
    static_assert(AT == CHANNELS, "The parts of a concatenation make up all its channels.");
}

template <class OUT, int CHANNELS, int AT, class FIRST, class... REST>
void gather(OUT (&result)[CHANNELS], Stream<typename FIRST::InToken>& first, Stream<typename REST::InToken>&... rest) {
#pragma HLS INLINE
    typename FIRST::Element pixel[FIRST::kChannels];
#pragma HLS ARRAY_PARTITION variable=pixel complete dim=0
    unpack(first.read(), pixel);
Channels:
    for (int c = 0; c < FIRST::kChannels; ++c) {
#pragma HLS UNROLL
        result[AT + c] = OUT(pixel[c]) << FIRST::kShift;
    }
    gather<OUT, CHANNELS, AT + FIRST::kChannels, REST...>(result, rest...);
}

template <class TOKEN>
void write_all(const TOKEN&) {
#pragma HLS INLINE
}

template <class TOKEN, class... REST>
void write_all(const TOKEN& token, Stream<TOKEN>& first, REST&... rest) {
#pragma HLS INLINE
    first.write(token);
    write_all(token, rest...);
}

}  // namespace detail

// The channels of all PARTS side by side, pixel by pixel. CONFIG names the layer: Out, kChannels, kPixels.
template <class CONFIG, class... PARTS>
void concat(Stream<typename Token<typename CONFIG::Out, CONFIG::kChannels>::type>& out,
            Stream<typename PARTS::InToken>&... parts) {
#pragma HLS INLINE
Frame:
    for (int n = 0; n < CONFIG::kPixels; ++n) {
#pragma HLS PIPELINE II=1
        typename CONFIG::Out result[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=result complete dim=0
        detail::gather<typename CONFIG::Out, CONFIG::kChannels, 0, PARTS...>(result, parts...);
        out.write(pack(result));
    }
}

// The same token to every reader of a value.
template <int PIXELS, class TOKEN, class... COPIES>
void fork(Stream<TOKEN>& in, COPIES&... copies) {
#pragma HLS INLINE
Frame:
    for (int n = 0; n < PIXELS; ++n) {
#pragma HLS PIPELINE II=1
        const TOKEN token = in.read();
        detail::write_all(token, copies...);
    }
}

}  // namespace psp

#endif  // PSP_POINTWISE_H
