// What a convolution does with the operands of an iteration: products, sums, the output pixel.
//
// Which operands those are is the schedule's: block by block (psp/conv.h) or from a connection table (psp/conv_table.h).
//
// CONFIG names the layer:
//   In, Acc, Finish               element that enters; exact accumulator; align and requantize (psp/requantize.h)
//   kInChannels, kOutChannels     extents
//   kPe                           output channels computed at once
//   Multiplier                    how products are made (psp/multiply.h)
//   kMaxAlign                     largest left shift of an output channel; 0 where none shifts
//   Scan                          the walk (psp/walk.h)
#ifndef PSP_SUMS_H
#define PSP_SUMS_H

#include "psp/multiply.h"
#include "psp/ports.h"
#include "psp/requantize.h"
#include "psp/walk.h"

namespace psp {

namespace detail {

template <class CONFIG>
struct ConvTypes {
    typedef typename CONFIG::In In;
    typedef typename CONFIG::Acc Acc;
    typedef typename CONFIG::Finish::Out Out;
    typedef typename CONFIG::Scan Scan;
    typedef typename Machine<Acc::width>::type Number;
    typedef ap_int<Acc::width + CONFIG::kMaxAlign> Aligned;
    // What a product takes from the window: C++ computes fastest with what it multiplies, so there it is widened once.
    typedef typename Select<PSP_WORDS_OF_SYNTHESIS, In, Number>::type Operand;
    typedef TokenPorts<In, CONFIG::kInChannels, Out, CONFIG::kOutChannels> Ports;

    static_assert(CONFIG::kOutChannels % CONFIG::kPe == 0, "kPe divides the output channels.");
    static_assert(CONFIG::kPe % CONFIG::Multiplier::kAtOnce == 0, "Output channels that share a DSP are computed at once.");
    static const int kOutBlocks = CONFIG::kOutChannels / CONFIG::kPe;
};

// Multiplies every operand with a weight of each of kPe output channels and adds the products up.
//
// Args:
//   word, out  the row of weights of this iteration, the block of output channels
//   opens      these are the first products of the block: the sums start with the bias
//   acc        the sums, the only thing that is carried on: one adder behind the adder tree
template <class CONFIG, class PORTS, class OPERAND, int OPERANDS, class WEIGHTS, class BIAS, class ACC>
void accumulate(const OPERAND (&operand)[OPERANDS], const WEIGHTS& weights, const BIAS& bias, int word, int out, bool opens,
                ACC (&acc)[CONFIG::kPe]) {
#pragma HLS INLINE
    typedef typename ConvTypes<CONFIG>::Number Number;
    typedef typename CONFIG::Multiplier Multiplier;
Outputs:
    for (int p = 0; p < CONFIG::kPe; p += Multiplier::kAtOnce) {
#pragma HLS UNROLL
        Number dot[Multiplier::kAtOnce] = {};
#pragma HLS ARRAY_PARTITION variable=dot complete dim=0
    Products:
        for (int m = 0; m < OPERANDS; ++m) {
#pragma HLS UNROLL
            Number weight[Multiplier::kAtOnce];
#pragma HLS ARRAY_PARTITION variable=weight complete dim=0
        Sharing:
            for (int s = 0; s < Multiplier::kAtOnce; ++s) {
#pragma HLS UNROLL
                const int lane = (p + s) * OPERANDS + m;
                weight[s] = PORTS::template entry<Number, CONFIG::kPe * OPERANDS>(weights, word, lane);
            }
            Multiplier::add(number<Number>(operand[m]), weight, dot);
        }
    Sums:
        for (int s = 0; s < Multiplier::kAtOnce; ++s) {
#pragma HLS UNROLL
            const Number start = PORTS::template entry<Number, CONFIG::kPe>(bias, out, p + s);
            const Number before = opens ? start : number<Number>(acc[p + s]);
            acc[p + s] = ACC(before + dot[s]);
        }
    }
}

// Puts the finished sums of a block into the output pixel, which fills from its end, kPe channels at a time, and is complete
// after the last block.
template <class CONFIG, class ALIGN, class ACC, class OUT>
void finish_block(const ALIGN& align, int out, const ACC (&acc)[CONFIG::kPe], OUT (&result)[CONFIG::kOutChannels]) {
#pragma HLS INLINE
    typedef typename ConvTypes<CONFIG>::Aligned Aligned;
Move:
    for (int c = 0; c < CONFIG::kOutChannels - CONFIG::kPe; ++c) {
#pragma HLS UNROLL
        result[c] = result[c + CONFIG::kPe];
    }
Finish:
    for (int p = 0; p < CONFIG::kPe; ++p) {
#pragma HLS UNROLL
        const unsigned shift = Tables::entry<unsigned, CONFIG::kPe>(align, out, p);
        const Aligned aligned = Aligned(acc[p]) << shift;
        result[CONFIG::kOutChannels - CONFIG::kPe + p] = CONFIG::Finish::finish(aligned);
    }
}

}  // namespace detail

}  // namespace psp

#endif  // PSP_SUMS_H
