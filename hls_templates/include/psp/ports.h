// What an engine reads pixels from, writes them to, and reads its constants from.
//
// The loop of an engine is written once; PORTS, a template argument of it, says how it is connected:
//   In, Out                              the types of its two ends
//   take(in, n, pixel)                   pixel n of the frame that enters, in raster order
//   give(out, n, pixel)                  pixel n of the frame that leaves
//   entry<NUMBER, COLUMNS>(table, r, c)  a constant of a table whose rows have so many columns (psp/conv.h)
// Every one of them is wiring. Where n is not needed, as with a stream, synthesis drops the counter behind it.
#ifndef PSP_PORTS_H
#define PSP_PORTS_H

#include "psp/number.h"
#include "psp/pixel.h"
#include "psp/stream.h"

namespace psp {

// In place of a table of which every entry is zero.
struct Zeros {};

// Constants in tables of two dimensions.
struct Tables {
    template <class NUMBER, int COLUMNS, class T, int ROWS>
    static NUMBER entry(const T (&table)[ROWS][COLUMNS], int row, int column) {
#pragma HLS INLINE
        return number<NUMBER>(table[row][column]);
    }

    template <class NUMBER, int COLUMNS>
    static NUMBER entry(const Zeros&, int, int) {
#pragma HLS INLINE
        return 0;
    }
};

// Streams of tokens between two engines (psp/pixel.h); the engine's constants are in tables.
template <class IN, int IN_CHANNELS, class OUT, int OUT_CHANNELS>
struct TokenPorts : Tables {
    typedef Stream<typename Token<IN, IN_CHANNELS>::type>& In;
    typedef Stream<typename Token<OUT, OUT_CHANNELS>::type>& Out;

    static void take(In in, int, IN (&pixel)[IN_CHANNELS]) {
#pragma HLS INLINE
        unpack(in.read(), pixel);
    }

    static void give(Out out, int, const OUT (&pixel)[OUT_CHANNELS]) {
#pragma HLS INLINE
        out.write(pack(pixel));
    }
};

// The pixel that enters at this position of a walk (psp/walk.h), zeros where none does; counts those that have entered.
template <class PORTS, class WALK, class COUNTER, class IN, int CHANNELS>
void enter(typename PORTS::In in, const WALK& walk, COUNTER& entered, IN (&newest)[CHANNELS]) {
#pragma HLS INLINE
Blank:
    for (int c = 0; c < CHANNELS; ++c) {
#pragma HLS UNROLL
        newest[c] = 0;
    }
    if (walk.reads()) {
        PORTS::take(in, number<int>(entered), newest);
        ++entered;
    }
}

}  // namespace psp

#endif  // PSP_PORTS_H
