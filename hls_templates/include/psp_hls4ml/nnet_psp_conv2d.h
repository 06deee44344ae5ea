// Direct convolution over the taps that survive, as a layer of hls4ml.
//
// The engine is psp::conv (psp/conv.h), or psp::conv_table (psp/conv_table.h) where the layer runs from a connection table,
// joined to what hls4ml carries between layers with io_stream and with io_parallel (nnet_psp_ports.h). Weights and biases are as hls4ml keeps them: one flat array each, weights in the order in which the
// engine reads them, output channel slowest and input channel fastest within what is read at once.
//
// config3 names the layer as its engine asks, and also
//   weight_t, bias_t        fixed-point types of the weights; of the bias, in the accumulator's format
//   kPixels, kOutPixels     pixels of the frame that enters and of the one that leaves
//   kWeights, kLanes        weights in all; read at once
//   kWeightMemory           where weights are kept: kWired, kLutRam, kBlockRam or kUltraRam
#ifndef NNET_PSP_CONV2D_H_
#define NNET_PSP_CONV2D_H_

#include "nnet_psp_ports.h"
#include "psp/conv.h"
#include "psp/conv_table.h"

namespace nnet {
namespace psp_ports {

enum WeightMemory { kWired, kLutRam, kBlockRam, kUltraRam };

// The dense schedule.
template <class CONFIG_T, class PORTS, class WEIGHTS, class BIASES, class ALIGN>
void engine(typename PORTS::In data, typename PORTS::Out res, const psp::Offset (&taps)[CONFIG_T::kTaps],
            const WEIGHTS &weights, const BIASES &biases, const ALIGN &align) {
    #pragma HLS INLINE
    psp::conv<CONFIG_T, PORTS>(data, res, taps, weights, biases, align);
}

template <class CONFIG_T>
void keep(const psp::InTurn &) {
    #pragma HLS INLINE
}

// Selections lie where the weights lie, one row per cycle.
template <class CONFIG_T, class T, int WORDS, int LANES>
void keep(const T (&select)[WORDS][LANES]) {
    #pragma HLS INLINE
    if (CONFIG_T::kWeightMemory == kWired) {
        #pragma HLS ARRAY_PARTITION variable=select complete dim=0
    } else {
        #pragma HLS ARRAY_RESHAPE variable=select complete dim=2
    }
#ifdef __VITIS_HLS__
    if (CONFIG_T::kWeightMemory == kLutRam) {
        #pragma HLS BIND_STORAGE variable=select type=ROM_1P impl=LUTRAM
    } else if (CONFIG_T::kWeightMemory == kBlockRam) {
        #pragma HLS BIND_STORAGE variable=select type=ROM_1P impl=BRAM
    }
#else
    if (CONFIG_T::kWeightMemory == kLutRam) {
        #pragma HLS RESOURCE variable=select core=ROM_1P_LUTRAM
    } else if (CONFIG_T::kWeightMemory == kBlockRam) {
        #pragma HLS RESOURCE variable=select core=ROM_1P_BRAM
    }
#endif
}

// The connection table.
template <class CONFIG_T, class PORTS, class WEIGHTS, class BIASES, class ALIGN, class KEPT, class CANDIDATES, class SELECT,
          class ENDS, class ORDER>
void engine(typename PORTS::In data, typename PORTS::Out res, const psp::Offset (&taps)[CONFIG_T::kTaps],
            const WEIGHTS &weights, const BIASES &biases, const ALIGN &align, const KEPT &kept,
            const CANDIDATES &candidates, const SELECT &select, const ENDS &ends, const ORDER &order) {
    #pragma HLS INLINE
    #pragma HLS ARRAY_PARTITION variable=kept complete dim=0
    #pragma HLS ARRAY_PARTITION variable=candidates complete dim=0
    keep<CONFIG_T>(select);
    psp::conv_table<CONFIG_T, PORTS>(data, res, taps, kept, candidates, select, ends, order, weights, biases, align);
}

template <class CONFIG_T, class PORTS, class ALIGN, class... TABLES>
void conv(typename PORTS::In data, typename PORTS::Out res,
          const typename CONFIG_T::weight_t (&weights)[CONFIG_T::kWeights],
          const typename CONFIG_T::bias_t (&biases)[CONFIG_T::kOutChannels],
          const psp::Offset (&taps)[CONFIG_T::kTaps], const ALIGN &align, const TABLES &... tables) {
    #pragma HLS INLINE
    if (CONFIG_T::kWeightMemory == kWired) {
        #pragma HLS ARRAY_PARTITION variable=weights complete
    } else {
        // One word per cycle: the weights that are used at once stand next to each other.
        const int kLanes = CONFIG_T::kLanes;
        #pragma HLS ARRAY_RESHAPE variable=weights cyclic factor=kLanes
    }
#ifdef __VITIS_HLS__
    if (CONFIG_T::kWeightMemory == kLutRam) {
        #pragma HLS BIND_STORAGE variable=weights type=ROM_1P impl=LUTRAM
    } else if (CONFIG_T::kWeightMemory == kBlockRam) {
        #pragma HLS BIND_STORAGE variable=weights type=ROM_1P impl=BRAM
    } else if (CONFIG_T::kWeightMemory == kUltraRam) {
        #pragma HLS BIND_STORAGE variable=weights type=ROM_1P impl=URAM
    }
#else
    if (CONFIG_T::kWeightMemory == kLutRam) {
        #pragma HLS RESOURCE variable=weights core=ROM_1P_LUTRAM
    } else if (CONFIG_T::kWeightMemory == kBlockRam) {
        #pragma HLS RESOURCE variable=weights core=ROM_1P_BRAM
    }
#endif
    #pragma HLS ARRAY_PARTITION variable=biases complete
#if PSP_WORDS_OF_SYNTHESIS
    engine<CONFIG_T, PORTS>(data, res, taps, weights, biases, align, tables...);
#else
    static const Decoded<typename CONFIG_T::weight_t, CONFIG_T::kWeights> weight_codes(weights);
    static const Decoded<typename CONFIG_T::bias_t, CONFIG_T::kOutChannels> bias_codes(biases);
    engine<CONFIG_T, PORTS>(data, res, taps, weight_codes, bias_codes, align, tables...);
#endif
}

}  // namespace psp_ports

// Args:
//   weights, biases  as hls4ml keeps them
//   taps             place of each tap relative to the output pixel
//   align            left shift that brings each output channel to one scale, [blocks][kPe], or psp::Zeros
//   tables           none, or the connection table: kept, candidates, select, ends, order (psp/conv_table.h)
template <class data_T, class res_T, typename CONFIG_T, class ALIGN, class... TABLES>
void psp_conv2d(hls::stream<data_T> &data, hls::stream<res_T> &res,
                const typename CONFIG_T::weight_t (&weights)[CONFIG_T::kWeights],
                const typename CONFIG_T::bias_t (&biases)[CONFIG_T::kOutChannels],
                const psp::Offset (&taps)[CONFIG_T::kTaps], const ALIGN &align, const TABLES &... tables) {
    #pragma HLS INLINE off
    psp_ports::conv<CONFIG_T, psp_ports::Streams<data_T, res_T> >(data, res, weights, biases, taps, align, tables...);
}

template <class data_T, class res_T, typename CONFIG_T, class ALIGN, class... TABLES>
void psp_conv2d(data_T data[CONFIG_T::kPixels * CONFIG_T::kInChannels],
                res_T res[CONFIG_T::kOutPixels * CONFIG_T::kOutChannels],
                const typename CONFIG_T::weight_t (&weights)[CONFIG_T::kWeights],
                const typename CONFIG_T::bias_t (&biases)[CONFIG_T::kOutChannels],
                const psp::Offset (&taps)[CONFIG_T::kTaps], const ALIGN &align, const TABLES &... tables) {
    #pragma HLS INLINE off
    psp_ports::conv<CONFIG_T, psp_ports::Arrays<data_T, res_T> >(data, res, weights, biases, taps, align, tables...);
}

}  // namespace nnet

#endif
