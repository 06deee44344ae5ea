// The delay chain between the taps of a window.
//
// The newest pixel enters the window at the last tap; every other tap holds the pixel of the next one, `distance`
// positions older. The window register itself is one position, so a segment keeps distance - 1 pixels. Nothing is
// initialised: what was never written stands only under taps outside the frame, and those read zero.
#ifndef PSP_DELAY_H
#define PSP_DELAY_H

#include "psp/number.h"

namespace psp {

// Neighbouring pixels: the window registers follow each other.
struct Adjacent {
    template <class T, int CHANNELS>
    class Line {
      public:
        void shift(T (&)[CHANNELS]) {
#pragma HLS INLINE
        }
    };
};

// DEPTH pixels in a shift register: flip-flops, or shift register LUTs since nothing resets them.
template <int DEPTH>
struct ShiftRegister {
    static_assert(DEPTH >= 1, "A shift register keeps at least one pixel.");

    template <class T, int CHANNELS>
    class Line {
      public:
        Line() {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable=pixels_ complete dim=0
        }

        // Takes a pixel and gives the one taken DEPTH positions earlier.
        void shift(T (&pixel)[CHANNELS]) {
#pragma HLS INLINE
        Channels:
            for (int c = 0; c < CHANNELS; ++c) {
#pragma HLS UNROLL
                const T oldest = pixels_[DEPTH - 1][c];
            Positions:
                for (int d = DEPTH - 1; d > 0; --d) {
#pragma HLS UNROLL
                    pixels_[d][c] = pixels_[d - 1][c];
                }
                pixels_[0][c] = pixel[c];
                pixel[c] = oldest;
            }
        }

      private:
        T pixels_[DEPTH][CHANNELS];
    };
};

namespace detail {

// The least number of pixels that a memory keeps: see ring_shift().
static const int kLeastRingDepth = 8;

// Takes a pixel and gives the one taken DEPTH positions earlier: reads the oldest row, writes the newest into its place.
//
// One read and one write per position, at one address, the read first: a simple dual-port memory does both in a cycle.
// An address comes back after DEPTH positions, and a position lasts at least one iteration, so a row is written DEPTH
// iterations before it is read again. That is more than the pipeline stages between the two: the pragmas that tell the
// tool so (`DEPENDENCE inter false`) are true of the hardware.
template <int DEPTH, class T, int CHANNELS, class ADDRESS>
void ring_shift(T (&rows)[DEPTH][CHANNELS], ADDRESS& at, T (&pixel)[CHANNELS]) {
#pragma HLS INLINE
    static_assert(DEPTH >= kLeastRingDepth, "A memory keeps at least 8 pixels; fewer belong in a shift register.");
    T oldest[CHANNELS];
#pragma HLS ARRAY_PARTITION variable=oldest complete dim=0
Read:
    for (int c = 0; c < CHANNELS; ++c) {
#pragma HLS UNROLL
        oldest[c] = rows[number<int>(at)][c];
    }
Write:
    for (int c = 0; c < CHANNELS; ++c) {
#pragma HLS UNROLL
        rows[number<int>(at)][c] = pixel[c];
        pixel[c] = oldest[c];
    }
    at = at == DEPTH - 1 ? 0 : number<int>(at) + 1;
}

}  // namespace detail

// The memories differ in one pragma. It names the variable that it binds and takes no template argument, so each is a type.

// DEPTH pixels in distributed RAM, one row per pixel.
template <int DEPTH>
struct LutRam {
    template <class T, int CHANNELS>
    class Line {
      public:
        Line() : at_(0) {
#pragma HLS INLINE
#pragma HLS ARRAY_RESHAPE variable=rows_ complete dim=2
#pragma HLS DEPENDENCE variable=rows_ inter false
#ifdef __VITIS_HLS__
#pragma HLS BIND_STORAGE variable=rows_ type=RAM_S2P impl=LUTRAM
#else
#pragma HLS RESOURCE variable=rows_ core=RAM_S2P_LUTRAM
#endif
        }

        void shift(T (&pixel)[CHANNELS]) {
#pragma HLS INLINE
            detail::ring_shift(rows_, at_, pixel);
        }

      private:
        T rows_[DEPTH][CHANNELS];
        typename Counter<0, DEPTH>::type at_;
    };
};

// DEPTH pixels in block RAM, one row per pixel.
template <int DEPTH>
struct BlockRam {
    template <class T, int CHANNELS>
    class Line {
      public:
        Line() : at_(0) {
#pragma HLS INLINE
#pragma HLS ARRAY_RESHAPE variable=rows_ complete dim=2
#pragma HLS DEPENDENCE variable=rows_ inter false
#ifdef __VITIS_HLS__
#pragma HLS BIND_STORAGE variable=rows_ type=RAM_S2P impl=BRAM
#else
#pragma HLS RESOURCE variable=rows_ core=RAM_S2P_BRAM
#endif
        }

        void shift(T (&pixel)[CHANNELS]) {
#pragma HLS INLINE
            detail::ring_shift(rows_, at_, pixel);
        }

      private:
        T rows_[DEPTH][CHANNELS];
        typename Counter<0, DEPTH>::type at_;
    };
};

// DEPTH pixels in UltraRAM, one row per pixel.
template <int DEPTH>
struct UltraRam {
    template <class T, int CHANNELS>
    class Line {
      public:
        Line() : at_(0) {
#pragma HLS INLINE
#pragma HLS ARRAY_RESHAPE variable=rows_ complete dim=2
#pragma HLS DEPENDENCE variable=rows_ inter false
#ifdef __VITIS_HLS__
#pragma HLS BIND_STORAGE variable=rows_ type=RAM_S2P impl=URAM
#else
#pragma HLS RESOURCE variable=rows_ core=XPM_MEMORY uram
#endif
        }

        void shift(T (&pixel)[CHANNELS]) {
#pragma HLS INLINE
            detail::ring_shift(rows_, at_, pixel);
        }

      private:
        T rows_[DEPTH][CHANNELS];
        typename Counter<0, DEPTH>::type at_;
    };
};

// The segments of a window, oldest first: Chain<Adjacent, BlockRam<30>, ...>.
//
// A window is T[TAP_BLOCKS][TAPS][IN_BLOCKS][LANES]: tap t is [t / TAPS][t % TAPS], channel c is [c / LANES][c % LANES].
// Blocks have dimensions of their own so that an engine that works block by block selects among blocks only.
template <class... SEGMENTS>
struct Chain;

template <>
struct Chain<> {
    static const int kSegments = 0;

    template <class T, int CHANNELS>
    class Lines {
      public:
        template <int AT, int TAP_BLOCKS, int TAPS, int IN_BLOCKS, int LANES>
        void shift(T (&window)[TAP_BLOCKS][TAPS][IN_BLOCKS][LANES], const T (&newest)[CHANNELS]) {
#pragma HLS INLINE
            static_assert(AT == TAP_BLOCKS * TAPS - 1, "A window of n taps has n - 1 segments.");
        Channels:
            for (int c = 0; c < CHANNELS; ++c) {
#pragma HLS UNROLL
                window[AT / TAPS][AT % TAPS][c / LANES][c % LANES] = newest[c];
            }
        }
    };
};

template <class OLDEST, class... NEWER>
struct Chain<OLDEST, NEWER...> {
    static const int kSegments = 1 + sizeof...(NEWER);

    template <class T, int CHANNELS>
    class Lines {
      public:
        // Moves the window one position on. Tap AT takes what its segment gives, which takes what the next tap held.
        template <int AT, int TAP_BLOCKS, int TAPS, int IN_BLOCKS, int LANES>
        void shift(T (&window)[TAP_BLOCKS][TAPS][IN_BLOCKS][LANES], const T (&newest)[CHANNELS]) {
#pragma HLS INLINE
            T pixel[CHANNELS];
#pragma HLS ARRAY_PARTITION variable=pixel complete dim=0
        Next:
            for (int c = 0; c < CHANNELS; ++c) {
#pragma HLS UNROLL
                pixel[c] = window[(AT + 1) / TAPS][(AT + 1) % TAPS][c / LANES][c % LANES];
            }
            line_.shift(pixel);
        Channels:
            for (int c = 0; c < CHANNELS; ++c) {
#pragma HLS UNROLL
                window[AT / TAPS][AT % TAPS][c / LANES][c % LANES] = pixel[c];
            }
            newer_.template shift<AT + 1>(window, newest);
        }

      private:
        typename OLDEST::template Line<T, CHANNELS> line_;
        typename Chain<NEWER...>::template Lines<T, CHANNELS> newer_;
    };
};

}  // namespace psp

#endif  // PSP_DELAY_H
