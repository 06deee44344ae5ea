// Where frames enter and leave: AXI4-Stream, one pixel per beat, channel 0 in the least significant bits, TLAST with the
// last pixel of a frame.
#ifndef PSP_AXIS_H
#define PSP_AXIS_H

#include <ap_axi_sdata.h>

#include "psp/pixel.h"
#include "psp/stream.h"

namespace psp {

// A beat that carries BITS bits: TDATA is as many whole bytes as that takes.
template <int BITS>
struct Beat {
    static const int kDataBits = (BITS + 7) / 8 * 8;
    typedef ap_axiu<kDataBits, 1, 1, 1> type;
};

// TLAST of the input is not looked at: a frame has a known number of pixels.
template <int PIXELS, class BEAT, int BITS>
void receive(hls::stream<BEAT>& in, Stream<ap_uint<BITS> >& out) {
#pragma HLS INLINE
Frame:
    for (int n = 0; n < PIXELS; ++n) {
#pragma HLS PIPELINE II=1
        const BEAT beat = in.read();
        out.write(ap_uint<BITS>(beat.data));
    }
}

template <int PIXELS, class BEAT, int BITS>
void send(Stream<ap_uint<BITS> >& in, hls::stream<BEAT>& out) {
#pragma HLS INLINE
Frame:
    for (int n = 0; n < PIXELS; ++n) {
#pragma HLS PIPELINE II=1
        BEAT beat;
        beat.data = in.read();
        beat.keep = -1;
        beat.strb = -1;
        beat.user = 0;
        beat.last = n == PIXELS - 1;
        beat.id = 0;
        beat.dest = 0;
        out.write(beat);
    }
}

}  // namespace psp

#endif  // PSP_AXIS_H
