// The channel between two engines: hls::stream, or in a traced C simulation one that also writes what passes to a file.
#ifndef PSP_STREAM_H
#define PSP_STREAM_H

#include <hls_stream.h>

#if defined(PSP_TRACE) && !defined(__SYNTHESIS__)
#include "psp/trace.h"
#else

namespace psp {

template <class T>
using Stream = hls::stream<T>;

}  // namespace psp

#endif  // PSP_TRACE

#endif  // PSP_STREAM_H
