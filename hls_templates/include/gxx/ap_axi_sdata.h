// The AXI4-Stream beat for g++, in place of the header of that name that comes with the vendor's tools.
//
// Only the Makefile names this folder; synthesis and the vendor's own C simulation see the vendor's header.
#ifndef PSP_GXX_AP_AXI_SDATA_H
#define PSP_GXX_AP_AXI_SDATA_H

#include <ap_int.h>

template <int D, int U, int TI, int TD>
struct ap_axiu {
    ap_uint<D> data;
    ap_uint<(D + 7) / 8> keep;
    ap_uint<(D + 7) / 8> strb;
    ap_uint<U> user;
    ap_uint<1> last;
    ap_uint<TI> id;
    ap_uint<TD> dest;
};

#endif  // PSP_GXX_AP_AXI_SDATA_H
