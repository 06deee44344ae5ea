// The delay chain of a window of which only some channels are held.
//
// Channels are sorted by the oldest tap that needs them. A tap holds what it or an older one needs: the first channels in that
// order, as many as or more than the next older tap. So the pixel that enters is narrowed to the channels that anybody needs, and
// on its way from tap to tap to those that somebody further on still needs.
#ifndef PSP_STRANDS_H
#define PSP_STRANDS_H

#include "psp/delay.h"

namespace psp {

// A segment of the chain (psp/delay.h) that keeps the first CHANNELS channels.
template <class SEGMENT, int CHANNELS>
struct Strand {
    static const int kChannels = CHANNELS;

    template <class T>
    struct Of {
        typedef typename SEGMENT::template Line<T, CHANNELS> Line;
    };
};

// The segments of a window, oldest first: Strands<Strand<Adjacent, 5>, Strand<BlockRam<30>, 12>, ...>.
template <class... STRANDS>
struct Strands;

template <>
struct Strands<> {
    template <class T>
    class Lines {
      public:
        template <int AT, int TAPS, int CHANNELS>
        void shift(T (&window)[TAPS][CHANNELS], const T (&newest)[CHANNELS]) {
#pragma HLS INLINE
            static_assert(AT == TAPS - 1, "A window of n taps has n - 1 segments.");
        Channels:
            for (int c = 0; c < CHANNELS; ++c) {
#pragma HLS UNROLL
                window[AT][c] = newest[c];
            }
        }
    };
};

template <class OLDEST, class... NEWER>
struct Strands<OLDEST, NEWER...> {
    template <class T>
    class Lines {
      public:
        // Moves the window one position on. Tap AT takes what its segment gives, which takes what the next tap held.
        template <int AT, int TAPS, int CHANNELS>
        void shift(T (&window)[TAPS][CHANNELS], const T (&newest)[CHANNELS]) {
#pragma HLS INLINE
            static_assert(OLDEST::kChannels <= CHANNELS, "A tap holds at most what enters.");
            T pixel[OLDEST::kChannels];
#pragma HLS ARRAY_PARTITION variable=pixel complete dim=0
        Next:
            for (int c = 0; c < OLDEST::kChannels; ++c) {
#pragma HLS UNROLL
                pixel[c] = window[AT + 1][c];
            }
            line_.shift(pixel);
        Channels:
            for (int c = 0; c < OLDEST::kChannels; ++c) {
#pragma HLS UNROLL
                window[AT][c] = pixel[c];
            }
            newer_.template shift<AT + 1>(window, newest);
        }

      private:
        typename OLDEST::template Of<T>::Line line_;
        typename Strands<NEWER...>::template Lines<T> newer_;
    };
};

}  // namespace psp

#endif  // PSP_STRANDS_H
