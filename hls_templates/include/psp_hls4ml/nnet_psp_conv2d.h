// Direct convolution over the taps that survive, as a layer of hls4ml.
//
// The engine is that of psp/conv.h: one flat loop with II = 1, a delay chain trimmed to the taps, kPe output channels times
// kTapsAtOnce taps times kSimd input channels per cycle. Here it reads and writes what hls4ml carries between layers, with
// io_stream and with io_parallel, and takes its weights as hls4ml keeps them: one flat array, in the order in which the
// engine reads them, output channel slowest and input channel fastest within what is read at once.
//
// config3 names the layer:
//   In, Acc, Finish                       element that enters; exact accumulator; align and requantize (psp/requantize.h)
//   weight_t, bias_t                      fixed-point types of the weights; of the bias, before channels are aligned
//   kInChannels, kOutChannels, kTaps      extents
//   kPe, kSimd, kTapsAtOnce               what is computed at once
//   Multiplier                            how products are made (psp/multiply.h)
//   kMaxAlign                             largest left shift of an output channel; 0 where none shifts
//   kWeightMemory                         where weights are kept: kWired, kLutRam, kBlockRam or kUltraRam
//   Scan, Delays                          the walk (psp/walk.h) and the delay chain (psp/delay.h)
#ifndef NNET_PSP_CONV2D_H_
#define NNET_PSP_CONV2D_H_

#include "nnet_psp_ports.h"
#include "psp/conv.h"

namespace nnet {
namespace psp_ports {

enum WeightMemory { kWired, kLutRam, kBlockRam, kUltraRam };

// Weights by iteration of a position and lane.
//
// Synthesis sees the array itself. The C simulation decodes it once, on the first frame, because g++ multiplies machine
// numbers many times faster than ap_fixed. -DPSP_EXACT_WIDTHS gives it what synthesis sees (psp/number.h).
#if PSP_WORDS_OF_SYNTHESIS
template <class CONFIG_T>
class Weights {
    typedef psp::detail::ConvShape<CONFIG_T> Shape;
    typedef ap_int<CONFIG_T::weight_t::width> Integer;

  public:
    explicit Weights(const typename CONFIG_T::weight_t *) {
        #pragma HLS INLINE
    }

    typename Shape::Number operator()(const typename CONFIG_T::weight_t *weights, int word, int lane) const {
        #pragma HLS INLINE
        return psp::number<typename Shape::Number>(code<Integer>(weights[word * Shape::kLanes + lane]));
    }
};
#else
template <class CONFIG_T>
class Weights {
    typedef psp::detail::ConvShape<CONFIG_T> Shape;
    typedef ap_int<CONFIG_T::weight_t::width> Integer;
    typedef typename psp::Constant<CONFIG_T::weight_t::width, true>::type Entry;

  public:
    explicit Weights(const typename CONFIG_T::weight_t *weights) {
        for (int n = 0; n < Shape::kWords * Shape::kLanes; ++n) {
            table_[n / Shape::kLanes][n % Shape::kLanes] = Entry(code<Integer>(weights[n]).to_int64());
        }
    }

    typename Shape::Number operator()(const typename CONFIG_T::weight_t *, int word, int lane) const {
        return psp::number<typename Shape::Number>(table_[word][lane]);
    }

  private:
    Entry table_[Shape::kWords][Shape::kLanes];
};
#endif

// DATA and RES are a reference to a stream or a pointer to an array.
template <class CONFIG_T, class DATA, class RES, class ALIGN>
void conv(DATA data, RES res, const typename CONFIG_T::weight_t *weights, const typename CONFIG_T::bias_t *biases,
          const psp::Offset (&taps)[CONFIG_T::kTaps], const ALIGN &align) {
    #pragma HLS INLINE
    typedef psp::detail::ConvShape<CONFIG_T> Shape;
    typedef typename Shape::In In;
    typedef typename Shape::Acc Acc;
    typedef typename Shape::Out Out;
    typedef typename Shape::Number Number;
    typedef typename Shape::Aligned Aligned;
    typedef ap_int<CONFIG_T::bias_t::width> Bias;
    typedef typename CONFIG_T::Multiplier Multiplier;
    static_assert(CONFIG_T::kPe % Multiplier::kAtOnce == 0, "Output channels that share a DSP are computed at once.");

#if PSP_WORDS_OF_SYNTHESIS
    const Weights<CONFIG_T> weight(weights);
#else
    static const Weights<CONFIG_T> weight(weights);
#endif
    psp::Walk<typename Shape::Scan> walk;
    psp::detail::Block<CONFIG_T> block;
    typename psp::Counter<0, Shape::Scan::kHeight * Shape::Scan::kWidth>::type entered = 0;
    typename psp::Counter<0, Shape::Scan::kOutHeight * Shape::Scan::kOutWidth>::type left = 0;
    typename CONFIG_T::Delays::template Lines<In, CONFIG_T::kInChannels> delays;
    In window[Shape::kTapBlocks][CONFIG_T::kTapsAtOnce][Shape::kInBlocks][CONFIG_T::kSimd];
    #pragma HLS ARRAY_PARTITION variable=window complete dim=0
    bool covered[Shape::kTapBlocks][CONFIG_T::kTapsAtOnce];
    #pragma HLS ARRAY_PARTITION variable=covered complete dim=0
    Acc acc[CONFIG_T::kPe];
    #pragma HLS ARRAY_PARTITION variable=acc complete dim=0
    Out result[CONFIG_T::kOutChannels];
    #pragma HLS ARRAY_PARTITION variable=result complete dim=0

Frame:
    for (int n = 0; n < Shape::kIterations; ++n) {
        #pragma HLS PIPELINE II=1
        if (block.first()) {
            In newest[CONFIG_T::kInChannels];
            #pragma HLS ARRAY_PARTITION variable=newest complete dim=0
        Blank:
            for (int c = 0; c < CONFIG_T::kInChannels; ++c) {
                #pragma HLS UNROLL
                newest[c] = 0;
            }
            if (walk.reads()) {
                take(data, psp::number<int>(entered), newest);
                ++entered;
            }
            delays.template shift<0>(window, newest);
        Covered:
            for (int t = 0; t < CONFIG_T::kTaps; ++t) {
                #pragma HLS UNROLL
                covered[t / CONFIG_T::kTapsAtOnce][t % CONFIG_T::kTapsAtOnce] = walk.covers(taps[t]);
            }
        }

        if (walk.writes()) {
            const int kProducts = CONFIG_T::kTapsAtOnce * CONFIG_T::kSimd;
            Number operand[kProducts];
            #pragma HLS ARRAY_PARTITION variable=operand complete dim=0
        Taps:
            for (int t = 0; t < CONFIG_T::kTapsAtOnce; ++t) {
                #pragma HLS UNROLL
                const bool inside = covered[psp::number<int>(block.tap)][t];
            Inputs:
                for (int i = 0; i < CONFIG_T::kSimd; ++i) {
                    #pragma HLS UNROLL
                    const In value = window[psp::number<int>(block.tap)][t][psp::number<int>(block.in)][i];
                    operand[t * CONFIG_T::kSimd + i] = inside ? psp::number<Number>(value) : Number(0);
                }
            }

        Outputs:
            for (int p = 0; p < CONFIG_T::kPe; p += Multiplier::kAtOnce) {
                #pragma HLS UNROLL
                Number dot[Multiplier::kAtOnce] = {};
                #pragma HLS ARRAY_PARTITION variable=dot complete dim=0
            Products:
                for (int m = 0; m < kProducts; ++m) {
                    #pragma HLS UNROLL
                    Number shared[Multiplier::kAtOnce];
                    #pragma HLS ARRAY_PARTITION variable=shared complete dim=0
                Sharing:
                    for (int s = 0; s < Multiplier::kAtOnce; ++s) {
                        #pragma HLS UNROLL
                        shared[s] = weight(weights, psp::number<int>(block.word), (p + s) * kProducts + m);
                    }
                    Multiplier::add(operand[m], shared, dot);
                }
            Sums:
                for (int s = 0; s < Multiplier::kAtOnce; ++s) {
                    #pragma HLS UNROLL
                    const int channel = psp::number<int>(block.out) * CONFIG_T::kPe + p + s;
                    const Number start = psp::number<Number>(code<Bias>(biases[channel]));
                    const Number before = block.opens() ? start : psp::number<Number>(acc[p + s]);
                    acc[p + s] = Acc(before + dot[s]);
                }
            }

            if (block.closes()) {
                // The result fills from its end, kPe channels at a time, and is complete after the last block.
            Move:
                for (int c = 0; c < CONFIG_T::kOutChannels - CONFIG_T::kPe; ++c) {
                    #pragma HLS UNROLL
                    result[c] = result[c + CONFIG_T::kPe];
                }
            Finish:
                for (int p = 0; p < CONFIG_T::kPe; ++p) {
                    #pragma HLS UNROLL
                    const Aligned aligned = Aligned(acc[p]) << psp::detail::entry(align, psp::number<int>(block.out), p);
                    result[CONFIG_T::kOutChannels - CONFIG_T::kPe + p] = CONFIG_T::Finish::finish(aligned);
                }
            }
            if (block.last()) {
                give(res, psp::number<int>(left), result);
                ++left;
                walk.advance();
            }
            block.advance();
        } else {
            walk.advance();
        }
    }
}

}  // namespace psp_ports

// Args:
//   weights, biases  as hls4ml keeps them
//   taps             place of each tap relative to the output pixel
//   align            left shift that brings each output channel to one scale, [blocks][kPe], or psp::Zeros
template <class data_T, class res_T, typename CONFIG_T, class ALIGN>
void psp_conv2d(hls::stream<data_T> &data, hls::stream<res_T> &res,
                typename CONFIG_T::weight_t weights[CONFIG_T::kWeights],
                typename CONFIG_T::bias_t biases[CONFIG_T::kOutChannels], const psp::Offset (&taps)[CONFIG_T::kTaps],
                const ALIGN &align) {
    #pragma HLS INLINE off
    if (CONFIG_T::kWeightMemory == psp_ports::kWired) {
        #pragma HLS ARRAY_PARTITION variable=weights complete
    } else {
        // One word per cycle: the weights that are used at once stand next to each other.
        const int kLanes = CONFIG_T::kLanes;
        #pragma HLS ARRAY_RESHAPE variable=weights cyclic factor=kLanes
    }
#ifdef __VITIS_HLS__
    if (CONFIG_T::kWeightMemory == psp_ports::kLutRam) {
        #pragma HLS BIND_STORAGE variable=weights type=ROM_1P impl=LUTRAM
    } else if (CONFIG_T::kWeightMemory == psp_ports::kBlockRam) {
        #pragma HLS BIND_STORAGE variable=weights type=ROM_1P impl=BRAM
    } else if (CONFIG_T::kWeightMemory == psp_ports::kUltraRam) {
        #pragma HLS BIND_STORAGE variable=weights type=ROM_1P impl=URAM
    }
#else
    if (CONFIG_T::kWeightMemory == psp_ports::kLutRam) {
        #pragma HLS RESOURCE variable=weights core=ROM_1P_LUTRAM
    } else if (CONFIG_T::kWeightMemory == psp_ports::kBlockRam) {
        #pragma HLS RESOURCE variable=weights core=ROM_1P_BRAM
    }
#endif
    #pragma HLS ARRAY_PARTITION variable=biases complete
    psp_ports::conv<CONFIG_T, hls::stream<data_T> &, hls::stream<res_T> &>(data, res, weights, biases, taps, align);
}

template <class data_T, class res_T, typename CONFIG_T, class ALIGN>
void psp_conv2d(data_T data[CONFIG_T::kPixels * CONFIG_T::kInChannels],
                res_T res[CONFIG_T::kOutPixels * CONFIG_T::kOutChannels],
                typename CONFIG_T::weight_t weights[CONFIG_T::kWeights],
                typename CONFIG_T::bias_t biases[CONFIG_T::kOutChannels], const psp::Offset (&taps)[CONFIG_T::kTaps],
                const ALIGN &align) {
    #pragma HLS INLINE off
    if (CONFIG_T::kWeightMemory == psp_ports::kWired) {
        #pragma HLS ARRAY_PARTITION variable=weights complete
    } else {
        // One word per cycle: the weights that are used at once stand next to each other.
        const int kLanes = CONFIG_T::kLanes;
        #pragma HLS ARRAY_RESHAPE variable=weights cyclic factor=kLanes
    }
#ifdef __VITIS_HLS__
    if (CONFIG_T::kWeightMemory == psp_ports::kLutRam) {
        #pragma HLS BIND_STORAGE variable=weights type=ROM_1P impl=LUTRAM
    } else if (CONFIG_T::kWeightMemory == psp_ports::kBlockRam) {
        #pragma HLS BIND_STORAGE variable=weights type=ROM_1P impl=BRAM
    } else if (CONFIG_T::kWeightMemory == psp_ports::kUltraRam) {
        #pragma HLS BIND_STORAGE variable=weights type=ROM_1P impl=URAM
    }
#else
    if (CONFIG_T::kWeightMemory == psp_ports::kLutRam) {
        #pragma HLS RESOURCE variable=weights core=ROM_1P_LUTRAM
    } else if (CONFIG_T::kWeightMemory == psp_ports::kBlockRam) {
        #pragma HLS RESOURCE variable=weights core=ROM_1P_BRAM
    }
#endif
    #pragma HLS ARRAY_PARTITION variable=biases complete
    psp_ports::conv<CONFIG_T, const data_T *, res_T *>(data, res, weights, biases, taps, align);
}

}  // namespace nnet

#endif
