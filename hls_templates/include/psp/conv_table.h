// Direct convolution from a connection table: only inputs that some weight meets are multiplied.
//
// The weights of a column (tap and input channel), a kernel, a vector or one by one may be zero. Output channels are computed in
// blocks of kPe; a block takes one word, one iteration, for every kOperands columns that any of its channels needs. Each of
// the kOperands lanes has a constant list of the window's registers that it ever reads, its candidates, and selects one of
// them per word. The loop is that of psp/conv.h, and so are the walk, the sums and the output pixel; what differs:
//   - the window holds only the channels that are needed (psp/strands.h);
//   - a word selects operands by its place in the block where all blocks read the same columns, else by a row of a table;
//   - blocks may have different numbers of words: a table says which words are the last of their block;
//   - output channels may be computed in another order than that in which they leave: which register gives which channel of
//     the pixel is wiring.
// II = 1: the word counter runs free, so the tables are read ahead of what depends on them; the counters that follow the ends of
// blocks take one step from one iteration to the next.
//
// CONFIG names the layer as psp/sums.h asks, and also
//   kTaps                surviving taps
//   kKept                input channels that are needed
//   kOperands, kWays     lanes; candidates of each
//   kWords, kMostWords   words in all; words of the longest block
//   Delays               the delay chain (psp/strands.h)
#ifndef PSP_CONV_TABLE_H
#define PSP_CONV_TABLE_H

#include "psp/strands.h"
#include "psp/sums.h"

namespace psp {

// In place of a table of selections: every lane takes its candidates from first to last, in every block.
struct InTurn {};

// In place of a table of the last words of blocks: every block has kMostWords.
struct EqualBlocks {};

// In place of an order of output channels: they are computed as they leave.
struct AsTheyLeave {};

namespace detail {

template <class CONFIG>
struct TableShape : ConvTypes<CONFIG> {
    typedef typename CONFIG::Scan Scan;
    static const int kIterations = Scan::kSteps + Scan::kOutHeight * Scan::kOutWidth * (CONFIG::kWords - 1);
};

inline int selected(const InTurn&, int, int step, int) {
#pragma HLS INLINE
    return step;
}

template <class T, int WORDS, int LANES>
int selected(const T (&select)[WORDS][LANES], int word, int, int lane) {
#pragma HLS INLINE
    return number<int>(select[word][lane]);
}

template <int WORDS>
bool closes(const EqualBlocks&, int, int step) {
#pragma HLS INLINE
    return step == WORDS - 1;
}

template <int WORDS, class T, int ROWS>
bool closes(const T (&ends)[ROWS][1], int word, int) {
#pragma HLS INLINE
    return number<int>(ends[word][0]) != 0;
}

// The output pixel as it leaves.
template <class OUT, int CHANNELS>
void leave(const AsTheyLeave&, const OUT (&result)[CHANNELS], OUT (&pixel)[CHANNELS]) {
#pragma HLS INLINE
Leaving:
    for (int c = 0; c < CHANNELS; ++c) {
#pragma HLS UNROLL
        pixel[c] = result[c];
    }
}

template <class T, class OUT, int CHANNELS>
void leave(const T (&order)[1][CHANNELS], const OUT (&result)[CHANNELS], OUT (&pixel)[CHANNELS]) {
#pragma HLS INLINE
Leaving:
    for (int c = 0; c < CHANNELS; ++c) {
#pragma HLS UNROLL
        pixel[number<int>(order[0][c])] = result[c];
    }
}

// What one lane reads: a multiplexer of as many ways as it has candidates, and beside it whether the candidate's tap lies inside
// the frame. Synthesis is given the candidates one by one, since it would make a multiplexer of the whole window of a register
// whose number is looked up; C++ finds the one that is selected faster (psp/number.h has the other types that differ).
template <class CONFIG>
struct Lane {
    typedef typename CONFIG::In In;
    typedef typename ConvTypes<CONFIG>::Number Number;
    typedef typename ConvTypes<CONFIG>::Operand Operand;

    template <class T>
    static Operand read(const In (&window)[CONFIG::kTaps][CONFIG::kKept], const bool (&covered)[CONFIG::kTaps],
                        const T (&candidates)[CONFIG::kWays], int at) {
#pragma HLS INLINE
#if PSP_WORDS_OF_SYNTHESIS
        In value[CONFIG::kWays];
#pragma HLS ARRAY_PARTITION variable=value complete dim=0
        bool inside[CONFIG::kWays];
#pragma HLS ARRAY_PARTITION variable=inside complete dim=0
    Candidates:
        for (int k = 0; k < CONFIG::kWays; ++k) {
#pragma HLS UNROLL
            value[k] = window[number<int>(candidates[k]) / CONFIG::kKept][number<int>(candidates[k]) % CONFIG::kKept];
            inside[k] = covered[number<int>(candidates[k]) / CONFIG::kKept];
        }
        return inside[at] ? Operand(number<Number>(value[at])) : Operand(0);
#else
        const int tap = number<int>(candidates[at]) / CONFIG::kKept;
        const int channel = number<int>(candidates[at]) % CONFIG::kKept;
        return covered[tap] ? Operand(number<Number>(window[tap][channel])) : Operand(0);
#endif
    }
};

// Where the loop stands inside a position.
template <class CONFIG>
struct Place {
    typename Counter<0, CONFIG::kWords>::type word;
    typename Counter<0, CONFIG::kMostWords>::type step;  // inside the block
    typename Counter<0, ConvTypes<CONFIG>::kOutBlocks>::type out;

    Place() : word(0), step(0), out(0) {
#pragma HLS INLINE
    }

    bool first() const {
#pragma HLS INLINE
        return word == 0;
    }

    bool last() const {
#pragma HLS INLINE
        return word == CONFIG::kWords - 1;
    }

    bool opens() const {
#pragma HLS INLINE
        return step == 0;
    }

    void advance(bool closes) {
#pragma HLS INLINE
        if (closes) out = last() ? 0 : number<int>(out) + 1;
        step = closes ? 0 : number<int>(step) + 1;
        word = last() ? 0 : number<int>(word) + 1;
    }
};

}  // namespace detail

// Args:
//   in, out        the two ends, as PORTS has them
//   taps           place of each tap relative to the output pixel
//   kept           [1][kKept], input channels in the order of psp/strands.h
//   candidates     [kOperands][kWays], registers of the window: tap * kKept + place among the kept channels
//   select         [kWords][kOperands], which candidate; or InTurn
//   ends           [kWords][1], 1 in the last word of a block; or EqualBlocks
//   order          [1][kOutChannels], output channels as they are computed; or AsTheyLeave
//   weights, bias  as PORTS reads them. Weights have kWords rows of kPe * kOperands, the output channel slowest; the bias has a row
//                  of kPe per block, in the accumulator's format
//   align          a row of kPe per block, left shift that brings each output channel to one scale, or Zeros
template <class CONFIG, class PORTS = typename detail::TableShape<CONFIG>::Ports, class KEPT, class CANDIDATE, class SELECT,
          class ENDS, class ORDER, class WEIGHTS, class BIAS, class ALIGN>
void conv_table(typename PORTS::In in, typename PORTS::Out out, const Offset (&taps)[CONFIG::kTaps],
                const KEPT (&kept)[1][CONFIG::kKept], const CANDIDATE (&candidates)[CONFIG::kOperands][CONFIG::kWays],
                const SELECT& select, const ENDS& ends, const ORDER& order, const WEIGHTS& weights, const BIAS& bias,
                const ALIGN& align) {
#pragma HLS INLINE
    typedef detail::TableShape<CONFIG> Shape;
    typedef typename Shape::In In;
    typedef typename Shape::Acc Acc;
    typedef typename Shape::Out Out;
    typedef typename Shape::Operand Operand;

    Walk<typename Shape::Scan> walk;
    detail::Place<CONFIG> at;
    typename Counter<0, Shape::Scan::kHeight * Shape::Scan::kWidth>::type entered = 0;
    typename Counter<0, Shape::Scan::kOutHeight * Shape::Scan::kOutWidth>::type left = 0;
    typename CONFIG::Delays::template Lines<In> delays;
    In window[CONFIG::kTaps][CONFIG::kKept];
#pragma HLS ARRAY_PARTITION variable=window complete dim=0
    bool covered[CONFIG::kTaps];
#pragma HLS ARRAY_PARTITION variable=covered complete dim=0
    Acc acc[CONFIG::kPe];
#pragma HLS ARRAY_PARTITION variable=acc complete dim=0
    Out result[CONFIG::kOutChannels];
#pragma HLS ARRAY_PARTITION variable=result complete dim=0

Frame:
    for (int n = 0; n < Shape::kIterations; ++n) {
#pragma HLS PIPELINE II=1
        if (at.first()) {
            In newest[CONFIG::kInChannels];
#pragma HLS ARRAY_PARTITION variable=newest complete dim=0
            enter<PORTS>(in, walk, entered, newest);
            In needed[CONFIG::kKept];
#pragma HLS ARRAY_PARTITION variable=needed complete dim=0
        Needed:
            for (int c = 0; c < CONFIG::kKept; ++c) {
#pragma HLS UNROLL
                needed[c] = newest[number<int>(kept[0][c])];
            }
            delays.template shift<0>(window, needed);
        Covered:
            for (int t = 0; t < CONFIG::kTaps; ++t) {
#pragma HLS UNROLL
                covered[t] = walk.covers(taps[t]);
            }
        }

        if (walk.writes()) {
            const int word = number<int>(at.word);
            const int step = number<int>(at.step);
            Operand operand[CONFIG::kOperands];
#pragma HLS ARRAY_PARTITION variable=operand complete dim=0
        Lanes:
            for (int m = 0; m < CONFIG::kOperands; ++m) {
#pragma HLS UNROLL
                const int chosen = detail::selected(select, word, step, m);
                operand[m] = detail::Lane<CONFIG>::read(window, covered, candidates[m], chosen);
            }

            const int out_block = number<int>(at.out);
            const bool closes = detail::closes<CONFIG::kMostWords>(ends, word, step);
            detail::accumulate<CONFIG, PORTS>(operand, weights, bias, word, out_block, at.opens(), acc);
            if (closes) detail::finish_block<CONFIG>(align, out_block, acc, result);
            if (at.last()) {
                Out pixel[CONFIG::kOutChannels];
#pragma HLS ARRAY_PARTITION variable=pixel complete dim=0
                detail::leave(order, result, pixel);
                PORTS::give(out, number<int>(left), pixel);
                ++left;
                walk.advance();
            }
            at.advance(closes);
        } else {
            walk.advance();
        }
    }
}

}  // namespace psp

#endif  // PSP_CONV_TABLE_H
