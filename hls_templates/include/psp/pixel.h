// A pixel as the token of a stream: all its channels side by side, channel 0 in the least significant bits.
//
// Inside an engine a pixel is an array of channels, completely partitioned; between engines it is one word, so that a
// FIFO is one memory of exactly that width. Packing is wiring. It goes through chunks of at most 64 bits because the
// C simulation handles those as machine words.
#ifndef PSP_PIXEL_H
#define PSP_PIXEL_H

#include <ap_int.h>

namespace psp {

// The word that carries a pixel of CHANNELS channels of type T.
template <class T, int CHANNELS>
struct Token {
    typedef ap_uint<T::width * CHANNELS> type;
};

namespace detail {

// How many whole channels of WIDTH bits one chunk carries.
template <int WIDTH, int CHANNELS>
struct Chunk {
    static const int kMost = 64 / WIDTH;
    static const int kChannels = kMost < CHANNELS ? kMost : CHANNELS;
    static const int kCount = (CHANNELS + kChannels - 1) / kChannels;
    static const int kBits = kChannels * WIDTH;
};

}  // namespace detail

template <class T, int CHANNELS>
void unpack(const ap_uint<T::width * CHANNELS>& token, T (&pixel)[CHANNELS]) {
#pragma HLS INLINE
    typedef detail::Chunk<T::width, CHANNELS> Chunk;
Chunks:
    for (int k = 0; k < Chunk::kCount; ++k) {
#pragma HLS UNROLL
        const int low = k * Chunk::kBits;
        const int high = low + Chunk::kBits < T::width * CHANNELS ? low + Chunk::kBits : T::width * CHANNELS;
        const unsigned long long chunk = token.range(high - 1, low).to_uint64();
    Channels:
        for (int c = 0; c < Chunk::kChannels; ++c) {
#pragma HLS UNROLL
            if (k * Chunk::kChannels + c < CHANNELS) pixel[k * Chunk::kChannels + c] = T(chunk >> (c * T::width));
        }
    }
}

template <class T, int CHANNELS>
ap_uint<T::width * CHANNELS> pack(const T (&pixel)[CHANNELS]) {
#pragma HLS INLINE
    typedef detail::Chunk<T::width, CHANNELS> Chunk;
    const unsigned long long mask = ~0ULL >> (64 - T::width);
    ap_uint<T::width * CHANNELS> token = 0;
Chunks:
    for (int k = 0; k < Chunk::kCount; ++k) {
#pragma HLS UNROLL
        const int low = k * Chunk::kBits;
        const int high = low + Chunk::kBits < T::width * CHANNELS ? low + Chunk::kBits : T::width * CHANNELS;
        unsigned long long chunk = 0;
    Channels:
        for (int c = 0; c < Chunk::kChannels; ++c) {
#pragma HLS UNROLL
            if (k * Chunk::kChannels + c < CHANNELS) {
                chunk |= (pixel[k * Chunk::kChannels + c].to_uint64() & mask) << (c * T::width);
            }
        }
        token.range(high - 1, low) = ap_uint<64>(chunk);
    }
    return token;
}

}  // namespace psp

#endif  // PSP_PIXEL_H
