// Engines that take and give one pixel per iteration: sum, affine map, thresholds, requantization, concatenation, copies.
//
// Nothing is carried from one iteration to the next, every channel is read or written once per iteration: II = 1. Engines "in
// blocks" keep the pixel for several iterations and work on kPe of its channels in each; what they carry on are that pixel, the
// result as it fills and a counter, and of their constants one row is read per iteration: II = 1 as well.
#ifndef PSP_POINTWISE_H
#define PSP_POINTWISE_H

#include "psp/multiply.h"
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

namespace detail {

// A pixel whose channels are worked on kPe at a time, and the result that fills from its end.
template <class IN, class OUT, int CHANNELS, int PE>
struct InBlocks {
    static_assert(CHANNELS % PE == 0, "kPe divides the channels.");
    static const int kBlocks = CHANNELS / PE;

    typename Counter<0, kBlocks>::type block;
    IN pixel[kBlocks][PE];
    OUT result[CHANNELS];

    InBlocks() : block(0) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable=pixel complete dim=0
#pragma HLS ARRAY_PARTITION variable=result complete dim=0
    }

    bool first() const {
#pragma HLS INLINE
        return block == 0;
    }

    bool last() const {
#pragma HLS INLINE
        return block == kBlocks - 1;
    }

    void hold(const typename Token<IN, CHANNELS>::type& token) {
#pragma HLS INLINE
        IN entered[CHANNELS];
#pragma HLS ARRAY_PARTITION variable=entered complete dim=0
        unpack(token, entered);
    Held:
        for (int c = 0; c < CHANNELS; ++c) {
#pragma HLS UNROLL
            pixel[c / PE][c % PE] = entered[c];
        }
    }

    void make_room() {
#pragma HLS INLINE
    Move:
        for (int c = 0; c < CHANNELS - PE; ++c) {
#pragma HLS UNROLL
            result[c] = result[c + PE];
        }
    }

    void advance() {
#pragma HLS INLINE
        block = last() ? 0 : number<int>(block) + 1;
    }
};

}  // namespace detail

// The same, kPe channels per iteration; a row of the tables holds the constants of kPe channels.
//
// CONFIG names the layer: In, Acc, Finish, Multiplier (psp/multiply.h), kChannels, kPe, kPixels.
template <class CONFIG, class SCALE, class OFFSET>
void affine_in_blocks(Stream<typename Token<typename CONFIG::In, CONFIG::kChannels>::type>& in,
                      Stream<typename Token<typename CONFIG::Finish::Out, CONFIG::kChannels>::type>& out,
                      const SCALE (&scale)[CONFIG::kChannels / CONFIG::kPe][CONFIG::kPe],
                      const OFFSET (&offset)[CONFIG::kChannels / CONFIG::kPe][CONFIG::kPe]) {
#pragma HLS INLINE
    typedef typename CONFIG::Acc Acc;
    typedef typename Machine<Acc::width>::type Number;
    typedef detail::InBlocks<typename CONFIG::In, typename CONFIG::Finish::Out, CONFIG::kChannels, CONFIG::kPe> Blocks;
    static_assert(CONFIG::Multiplier::kAtOnce == 1, "Channels of a map share no factor.");
    Blocks state;

Frame:
    for (int n = 0; n < CONFIG::kPixels * Blocks::kBlocks; ++n) {
#pragma HLS PIPELINE II=1
        if (state.first()) state.hold(in.read());
        state.make_room();
        const int block = number<int>(state.block);
    Channels:
        for (int p = 0; p < CONFIG::kPe; ++p) {
#pragma HLS UNROLL
            const Number factor[1] = {number<Number>(scale[block][p])};
            Number value[1] = {number<Number>(offset[block][p])};
            CONFIG::Multiplier::add(number<Number>(state.pixel[block][p]), factor, value);
            state.result[CONFIG::kChannels - CONFIG::kPe + p] = CONFIG::Finish::finish(Acc(value[0]));
        }
        if (state.last()) out.write(pack(state.result));
        state.advance();
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

// The same, kPe channels per iteration; a row of the tables holds the constants of kPe channels, of thresholds channel by channel.
//
// CONFIG names the layer: In, Out, kChannels, kPe, kLevels, kLevelBits, kPixels.
template <class CONFIG, class LEVEL, class START, class STEP>
void threshold_in_blocks(Stream<typename Token<typename CONFIG::In, CONFIG::kChannels>::type>& in,
                         Stream<typename Token<typename CONFIG::Out, CONFIG::kChannels>::type>& out,
                         const LEVEL (&thresholds)[CONFIG::kChannels / CONFIG::kPe][CONFIG::kPe * CONFIG::kLevels],
                         const START (&start)[CONFIG::kChannels / CONFIG::kPe][CONFIG::kPe],
                         const STEP (&step)[CONFIG::kChannels / CONFIG::kPe][CONFIG::kPe]) {
#pragma HLS INLINE
    typedef typename Machine<detail::larger(CONFIG::In::width + 1, CONFIG::kLevelBits)>::type Number;
    typedef detail::InBlocks<typename CONFIG::In, typename CONFIG::Out, CONFIG::kChannels, CONFIG::kPe> Blocks;
    Blocks state;

Frame:
    for (int n = 0; n < CONFIG::kPixels * Blocks::kBlocks; ++n) {
#pragma HLS PIPELINE II=1
        if (state.first()) state.hold(in.read());
        state.make_room();
        const int block = number<int>(state.block);
    Channels:
        for (int p = 0; p < CONFIG::kPe; ++p) {
#pragma HLS UNROLL
            const Number entered = number<Number>(state.pixel[block][p]);
            int reached = 0;
        Levels:
            for (int l = 0; l < CONFIG::kLevels; ++l) {
#pragma HLS UNROLL
                if (number<Number>(thresholds[block][p * CONFIG::kLevels + l]) <= entered) ++reached;
            }
            state.result[CONFIG::kChannels - CONFIG::kPe + p] =
                typename CONFIG::Out(number<long long>(start[block][p]) + number<long long>(step[block][p]) * reached);
        }
        if (state.last()) out.write(pack(state.result));
        state.advance();
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
