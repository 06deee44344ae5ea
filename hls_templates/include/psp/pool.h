// Pooling: a maximum or a mean over windows, or the mean over the whole frame.
#ifndef PSP_POOL_H
#define PSP_POOL_H

#include "psp/delay.h"
#include "psp/ports.h"
#include "psp/requantize.h"
#include "psp/walk.h"

namespace psp {

// The larger of two; a tap outside the frame counts as the least number there is.
template <class T>
struct Maximum {
    typedef T Acc;
    typedef T Out;

    static T start() {
#pragma HLS INLINE
        // The least number of the type: all ones but for a sign bit are zeros in an unsigned type's minimum, 0.
        T least = 0;
        if (T(-1) < T(0)) least[T::width - 1] = 1;
        return least;
    }

    static T join(const T& acc, const T& value) {
#pragma HLS INLINE
        return value > acc ? value : acc;
    }

    static T finish(const T& acc) {
#pragma HLS INLINE
        return acc;
    }
};

// The exact sum, then FINISH divides and requantizes.
template <class ACC, class FINISH>
struct Mean {
    typedef ACC Acc;
    typedef typename FINISH::Out Out;

    static ACC start() {
#pragma HLS INLINE
        return ACC(0);
    }

    template <class T>
    static ACC join(const ACC& acc, const T& value) {
#pragma HLS INLINE
        return ACC(acc + value);
    }

    static Out finish(const ACC& acc) {
#pragma HLS INLINE
        return FINISH::finish(acc);
    }
};

namespace detail {

// Streams of tokens (psp/ports.h).
template <class CONFIG>
struct PoolPorts {
    typedef TokenPorts<typename CONFIG::In, CONFIG::kChannels, typename CONFIG::Pool::Out, CONFIG::kChannels> type;
};

// COUNT terms from FROM on, joined two by two: as deep as a tree, also where a tool may not reorder them.
template <class POOL, int FROM, int COUNT>
struct Joined {
    template <int TERMS>
    static typename POOL::Acc of(const typename POOL::Acc (&terms)[TERMS]) {
#pragma HLS INLINE
        const typename POOL::Acc first = Joined<POOL, FROM, COUNT / 2>::of(terms);
        return POOL::join(first, Joined<POOL, FROM + COUNT / 2, COUNT - COUNT / 2>::of(terms));
    }
};

template <class POOL, int FROM>
struct Joined<POOL, FROM, 1> {
    template <int TERMS>
    static typename POOL::Acc of(const typename POOL::Acc (&terms)[TERMS]) {
#pragma HLS INLINE
        return terms[FROM];
    }
};

}  // namespace detail

// Pooling over windows, all channels at once, one position per iteration; II = 1 for the reasons given in psp/conv.h.
//
// CONFIG names the layer: In, kChannels, kTaps, Pool (Maximum or Mean), Scan (psp/walk.h), Delays (psp/delay.h).
template <class CONFIG, class PORTS = typename detail::PoolPorts<CONFIG>::type>
void window_pool(typename PORTS::In in, typename PORTS::Out out, const Offset (&taps)[CONFIG::kTaps]) {
#pragma HLS INLINE
    typedef typename CONFIG::In In;
    typedef typename CONFIG::Pool Pool;
    typedef typename CONFIG::Scan Scan;

    Walk<Scan> walk;
    typename Counter<0, Scan::kHeight * Scan::kWidth>::type entered = 0;
    typename Counter<0, Scan::kOutHeight * Scan::kOutWidth>::type left = 0;
    typename CONFIG::Delays::template Lines<In, CONFIG::kChannels> delays;
    In window[1][CONFIG::kTaps][1][CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=window complete dim=0

Frame:
    for (int n = 0; n < Scan::kSteps; ++n) {
#pragma HLS PIPELINE II=1
        In newest[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=newest complete dim=0
        enter<PORTS>(in, walk, entered, newest);
        delays.template shift<0>(window, newest);

        if (walk.writes()) {
            typename Pool::Out result[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=result complete dim=0
        Channels:
            for (int c = 0; c < CONFIG::kChannels; ++c) {
#pragma HLS UNROLL
                typename Pool::Acc terms[CONFIG::kTaps];
#pragma HLS ARRAY_PARTITION variable=terms complete dim=0
            Taps:
                for (int t = 0; t < CONFIG::kTaps; ++t) {
#pragma HLS UNROLL
                    terms[t] = walk.covers(taps[t]) ? typename Pool::Acc(window[0][t][0][c]) : Pool::start();
                }
                result[c] = Pool::finish(detail::Joined<Pool, 0, CONFIG::kTaps>::of(terms));
            }
            PORTS::give(out, number<int>(left), result);
            ++left;
        }
        walk.advance();
    }
}

// The mean over the whole frame: one pixel enters per iteration, one leaves after the last.
//
// CONFIG names the layer: In, kChannels, kPixels, Pool. Carried from one iteration to the next is one adder per channel.
template <class CONFIG, class PORTS = typename detail::PoolPorts<CONFIG>::type>
void global_pool(typename PORTS::In in, typename PORTS::Out out) {
#pragma HLS INLINE
    typedef typename CONFIG::In In;
    typedef typename CONFIG::Pool Pool;

    typename Pool::Acc acc[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=acc complete dim=0

Frame:
    for (int n = 0; n < CONFIG::kPixels; ++n) {
#pragma HLS PIPELINE II=1
        In pixel[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=pixel complete dim=0
        PORTS::take(in, n, pixel);
    Sum:
        for (int c = 0; c < CONFIG::kChannels; ++c) {
#pragma HLS UNROLL
            acc[c] = Pool::join(n == 0 ? Pool::start() : acc[c], pixel[c]);
        }
        if (n == CONFIG::kPixels - 1) {
            typename Pool::Out result[CONFIG::kChannels];
#pragma HLS ARRAY_PARTITION variable=result complete dim=0
        Finish:
            for (int c = 0; c < CONFIG::kChannels; ++c) {
#pragma HLS UNROLL
                result[c] = Pool::finish(acc[c]);
            }
            PORTS::give(out, 0, result);
        }
    }
}

}  // namespace psp

#endif  // PSP_POOL_H
