// Direct convolution over the taps that survive.
//
// A frame is one flat loop. At each position of the walk a pixel may enter the window; at positions where a window is
// complete the loop stays for kWords iterations and in each multiplies kPe output channels with kTapsAtOnce taps of
// kSimd input channels. Elsewhere a position lasts one iteration. Iterations follow each other with II = 1:
//   - the window shifts only at the first iteration of a position, register to register;
//   - each memory of the delay chain is read once and written once per position, at one address (psp/delay.h);
//   - one word of weights is read per iteration;
//   - the only sum carried from one iteration to the next is `acc`, one adder behind the adder tree.
//
// How the engine is connected is an argument of its own (psp/ports.h): the loop serves streams of tokens, and the streams
// and arrays of hls4ml (psp_hls4ml/nnet_psp_conv2d.h).
//
// CONFIG names the layer as psp/sums.h asks, and also
//   kTaps                  surviving taps
//   kSimd, kTapsAtOnce     what is computed at once, beside kPe
//   Delays                 the delay chain (psp/delay.h)
#ifndef PSP_CONV_H
#define PSP_CONV_H

#include "psp/delay.h"
#include "psp/sums.h"

namespace psp {

namespace detail {

template <class CONFIG>
struct ConvShape : ConvTypes<CONFIG> {
    typedef typename CONFIG::Scan Scan;

    static_assert(CONFIG::kInChannels % CONFIG::kSimd == 0, "kSimd divides the input channels.");
    static_assert(CONFIG::kTaps % CONFIG::kTapsAtOnce == 0, "kTapsAtOnce divides the taps.");
    static const int kTapBlocks = CONFIG::kTaps / CONFIG::kTapsAtOnce;
    static const int kInBlocks = CONFIG::kInChannels / CONFIG::kSimd;
    static const int kWords = ConvTypes<CONFIG>::kOutBlocks * kTapBlocks * kInBlocks;
    static const int kIterations = Scan::kSteps + Scan::kOutHeight * Scan::kOutWidth * (kWords - 1);
};

// Where the loop stands inside a position: output block slowest, input block fastest.
template <class CONFIG>
struct Block {
    typedef ConvShape<CONFIG> Shape;

    typename Counter<0, Shape::kWords>::type word;
    typename Counter<0, Shape::kOutBlocks>::type out;
    typename Counter<0, Shape::kTapBlocks>::type tap;
    typename Counter<0, Shape::kInBlocks>::type in;

    Block() : word(0), out(0), tap(0), in(0) {
#pragma HLS INLINE
    }

    bool first() const {
#pragma HLS INLINE
        return word == 0;
    }

    bool last() const {
#pragma HLS INLINE
        return word == Shape::kWords - 1;
    }

    // The first and the last product sums of the kPe output channels of this block.
    bool opens() const {
#pragma HLS INLINE
        return tap == 0 && in == 0;
    }

    bool closes() const {
#pragma HLS INLINE
        return tap == Shape::kTapBlocks - 1 && in == Shape::kInBlocks - 1;
    }

    void advance() {
#pragma HLS INLINE
        const bool in_wraps = in == Shape::kInBlocks - 1;
        const bool tap_wraps = tap == Shape::kTapBlocks - 1;
        word = last() ? 0 : number<int>(word) + 1;
        if (in_wraps && tap_wraps) out = out == Shape::kOutBlocks - 1 ? 0 : number<int>(out) + 1;
        if (in_wraps) tap = tap_wraps ? 0 : number<int>(tap) + 1;
        in = in_wraps ? 0 : number<int>(in) + 1;
    }
};

}  // namespace detail

// Args:
//   in, out        the two ends, as PORTS has them
//   taps           place of each tap relative to the output pixel
//   weights, bias  as PORTS reads them. Weights have kWords rows, one per iteration of a position, of
//                  kPe * kTapsAtOnce * kSimd; in a row the output channel is slowest, the input channel fastest. The bias
//                  has kOutBlocks rows of kPe, in the accumulator's format
//   align          [kOutBlocks][kPe], left shift that brings each output channel to one scale, or Zeros
template <class CONFIG, class PORTS = typename detail::ConvShape<CONFIG>::Ports, class WEIGHTS, class BIAS, class ALIGN>
void conv(typename PORTS::In in, typename PORTS::Out out, const Offset (&taps)[CONFIG::kTaps], const WEIGHTS& weights,
          const BIAS& bias, const ALIGN& align) {
#pragma HLS INLINE
    typedef detail::ConvShape<CONFIG> Shape;
    typedef typename Shape::In In;
    typedef typename Shape::Acc Acc;
    typedef typename Shape::Out Out;
    typedef typename Shape::Number Number;
    typedef typename Shape::Operand Operand;

    Walk<typename Shape::Scan> walk;
    detail::Block<CONFIG> block;
    typename Counter<0, Shape::Scan::kHeight * Shape::Scan::kWidth>::type entered = 0;
    typename Counter<0, Shape::Scan::kOutHeight * Shape::Scan::kOutWidth>::type left = 0;
    typename CONFIG::Delays::template Lines<In, CONFIG::kInChannels> delays;
    In window[Shape::kTapBlocks][CONFIG::kTapsAtOnce][Shape::kInBlocks][CONFIG::kSimd];
#pragma HLS ARRAY_PARTITION variable=window complete dim=0
    bool covered[Shape::kTapBlocks][CONFIG::kTapsAtOnce];
#pragma HLS ARRAY_PARTITION variable=covered complete dim=0
    Acc acc[CONFIG::kPe];
#pragma HLS ARRAY_PARTITION variable=acc complete dim=0
    Out result[CONFIG::kOutChannels];
#pragma HLS ARRAY_PARTITION variable=result complete dim=0

Frame:
    for (int n = 0; n < Shape::kIterations; ++n) {
#pragma HLS PIPELINE II=1
        if (block.first()) {
            In newest[CONFIG::kInChannels];
#pragma HLS ARRAY_PARTITION variable=newest complete dim=0
            enter<PORTS>(in, walk, entered, newest);
            delays.template shift<0>(window, newest);
        Covered:
            for (int t = 0; t < CONFIG::kTaps; ++t) {
#pragma HLS UNROLL
                covered[t / CONFIG::kTapsAtOnce][t % CONFIG::kTapsAtOnce] = walk.covers(taps[t]);
            }
        }

        if (walk.writes()) {
            const int kProducts = CONFIG::kTapsAtOnce * CONFIG::kSimd;
            Operand operand[kProducts];
#pragma HLS ARRAY_PARTITION variable=operand complete dim=0
        Taps:
            for (int t = 0; t < CONFIG::kTapsAtOnce; ++t) {
#pragma HLS UNROLL
                const bool inside = covered[number<int>(block.tap)][t];
            Inputs:
                for (int i = 0; i < CONFIG::kSimd; ++i) {
#pragma HLS UNROLL
                    const In value = window[number<int>(block.tap)][t][number<int>(block.in)][i];
                    operand[t * CONFIG::kSimd + i] = inside ? Operand(number<Number>(value)) : Operand(0);
                }
            }

            const int out_block = number<int>(block.out);
            detail::accumulate<CONFIG, PORTS>(operand, weights, bias, number<int>(block.word), out_block, block.opens(), acc);
            if (block.closes()) detail::finish_block<CONFIG>(align, out_block, acc, result);
            if (block.last()) {
                PORTS::give(out, number<int>(left), result);
                ++left;
                walk.advance();
            }
            block.advance();
        } else {
            walk.advance();
        }
    }
}

}  // namespace psp

#endif  // PSP_CONV_H
