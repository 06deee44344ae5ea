// What every testbench does; C simulation only.
//
//   testbench VECTORS               compare with VECTORS/inputs.txt and VECTORS/outputs.txt
//   testbench --stream IN OUT       run the frames in IN, write the results to OUT
//
// A vector file is text: a line `frames N HxWxC`, then for every frame a line `frame n` and one line of numbers per pixel,
// and at the end a line `end N`. A stream file is one 64-bit integer per element, least significant byte first, in the
// order [frame][row][column][channel].
//
// Exit codes: 0 everything is equal, 1 something differs, 2 a file is missing, short or corrupt, or bad use.
//
// DESIGN names the design: InBeat and OutBeat, In and Out (elements), kInHeight, kInWidth, kInChannels, kOutHeight,
// kOutWidth, kOutChannels, kFrames (vectors that were written) and run(in, out), the top function.
#ifndef PSP_TESTBENCH_H
#define PSP_TESTBENCH_H

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "psp/axis.h"
#include "psp/pixel.h"

namespace psp {
namespace testbench {

typedef std::vector<long long> Frame;

inline void fail(const std::string& where, const std::string& what) {
    std::cerr << "testbench: " << where << ": " << what << std::endl;
    std::exit(2);
}

// Reads the words of a vector file and stops the program at the first that should not stand there.
class VectorFile {
  public:
    explicit VectorFile(const std::string& path) : path_(path), file_(path.c_str()) {
        if (!file_) fail(path_, "cannot be opened");
    }

    void expect(const std::string& word) {
        const std::string found = next();
        if (found != word) fail(path_, "'" + found + "' stands where '" + word + "' should");
    }

    long long number(long long lo, long long hi) {
        const std::string word = next();
        errno = 0;
        char* end = 0;
        const long long value = std::strtoll(word.c_str(), &end, 10);
        if (*end != '\0' || errno != 0) fail(path_, "'" + word + "' is no number");
        if (value < lo || value > hi) fail(path_, word + " does not fit the format of the element");
        return value;
    }

    void expect_end() {
        std::string word;
        if (file_ >> word) fail(path_, "'" + word + "' stands after the end");
    }

  private:
    std::string next() {
        std::string word;
        if (!(file_ >> word)) fail(path_, "ends too early");
        return word;
    }

    std::string path_;
    std::ifstream file_;
};

template <class T>
std::string text(const T& value) {
    std::ostringstream out;
    out << value;
    return out.str();
}

template <class T>
long long least() {
    return T(-1) < T(0) ? -(1LL << (T::width - 1)) : 0;
}

template <class T>
long long greatest() {
    return T(-1) < T(0) ? (1LL << (T::width - 1)) - 1 : (T::width >= 63 ? ~(1ULL << 63) : (1ULL << T::width) - 1);
}

template <class T>
long long integer(const T& value) {
    return T(-1) < T(0) ? value.to_int64() : static_cast<long long>(value.to_uint64());
}

template <class T>
std::vector<Frame> read_vectors(const std::string& path, int frames, int height, int width, int channels) {
    VectorFile file(path);
    file.expect("frames");
    file.expect(text(frames));
    file.expect(text(height) + "x" + text(width) + "x" + text(channels));
    std::vector<Frame> vectors(frames, Frame(static_cast<std::size_t>(height) * width * channels));
    for (int n = 0; n < frames; ++n) {
        file.expect("frame");
        file.expect(text(n));
        for (std::size_t i = 0; i < vectors[n].size(); ++i) {
            vectors[n][i] = file.number(least<T>(), greatest<T>());
        }
    }
    file.expect("end");
    file.expect(text(frames));
    file.expect_end();
    return vectors;
}

template <class DESIGN>
void send(const Frame& frame, hls::stream<typename DESIGN::InBeat>& in) {
    typedef typename DESIGN::In In;
    const int pixels = DESIGN::kInHeight * DESIGN::kInWidth;
    for (int n = 0; n < pixels; ++n) {
        In pixel[DESIGN::kInChannels];
        for (int c = 0; c < DESIGN::kInChannels; ++c) pixel[c] = In(frame[n * DESIGN::kInChannels + c]);
        typename DESIGN::InBeat beat;
        beat.data = pack(pixel);
        beat.keep = -1;
        beat.strb = -1;
        beat.user = 0;
        beat.last = n == pixels - 1;
        beat.id = 0;
        beat.dest = 0;
        in.write(beat);
    }
}

// Takes one frame; counts a TLAST that is missing or out of place, and beats too few or too many, in `protocol`.
template <class DESIGN>
Frame receive(hls::stream<typename DESIGN::OutBeat>& out, long long& protocol) {
    typedef typename DESIGN::Out Out;
    const int pixels = DESIGN::kOutHeight * DESIGN::kOutWidth;
    Frame frame(static_cast<std::size_t>(pixels) * DESIGN::kOutChannels);
    for (int n = 0; n < pixels; ++n) {
        if (out.empty()) {
            std::cerr << "testbench: the frame ends after " << n << " of " << pixels << " pixels" << std::endl;
            ++protocol;
            return frame;
        }
        const typename DESIGN::OutBeat beat = out.read();
        const bool last = beat.last == 1;
        if (last != (n == pixels - 1)) {
            std::cerr << "testbench: pixel " << n << " of " << pixels << (last ? " has" : " lacks") << " TLAST" << std::endl;
            ++protocol;
        }
        Out pixel[DESIGN::kOutChannels];
        unpack(ap_uint<Out::width * DESIGN::kOutChannels>(beat.data), pixel);
        for (int c = 0; c < DESIGN::kOutChannels; ++c) frame[n * DESIGN::kOutChannels + c] = integer(pixel[c]);
    }
    while (!out.empty()) {
        out.read();
        std::cerr << "testbench: a pixel follows after the last of the frame" << std::endl;
        ++protocol;
    }
    return frame;
}

template <class DESIGN>
long long compare(int n, const Frame& expected, const Frame& actual) {
    const int kShown = 8;
    long long mismatches = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        if (expected[i] == actual[i]) continue;
        if (++mismatches > kShown) continue;
        const int c = static_cast<int>(i) % DESIGN::kOutChannels;
        const int pixel = static_cast<int>(i) / DESIGN::kOutChannels;
        std::cerr << "testbench: frame " << n << ", row " << pixel / DESIGN::kOutWidth << ", column "
                  << pixel % DESIGN::kOutWidth << ", channel " << c << ": expected " << expected[i] << ", got "
                  << actual[i] << std::endl;
    }
    return mismatches;
}

// All frames enter before the first leaves is looked at: they pass through the design back to back.
template <class DESIGN>
int compare_vectors(const std::string& folder) {
    const std::vector<Frame> inputs = read_vectors<typename DESIGN::In>(
        folder + "/inputs.txt", DESIGN::kFrames, DESIGN::kInHeight, DESIGN::kInWidth, DESIGN::kInChannels);
    const std::vector<Frame> outputs = read_vectors<typename DESIGN::Out>(
        folder + "/outputs.txt", DESIGN::kFrames, DESIGN::kOutHeight, DESIGN::kOutWidth, DESIGN::kOutChannels);
    hls::stream<typename DESIGN::InBeat> in("in");
    hls::stream<typename DESIGN::OutBeat> out("out");
    for (int n = 0; n < DESIGN::kFrames; ++n) send<DESIGN>(inputs[n], in);
    long long mismatches = 0;
    long long protocol = 0;
    for (int n = 0; n < DESIGN::kFrames; ++n) {
        DESIGN::run(in, out);
        mismatches += compare<DESIGN>(n, outputs[n], receive<DESIGN>(out, protocol));
    }
    if (!in.empty()) {
        std::cerr << "testbench: the design left pixels of its input unread" << std::endl;
        ++protocol;
    }
    std::cout << "frames compared: " << DESIGN::kFrames << ", mismatches: " << mismatches;
    if (protocol != 0) std::cout << ", faults of the stream: " << protocol;
    std::cout << std::endl;
    return mismatches == 0 && protocol == 0 ? 0 : 1;
}

inline bool read_frame(std::FILE* file, const std::string& path, Frame& frame) {
    std::vector<unsigned char> bytes(frame.size() * 8);
    const std::size_t count = std::fread(&bytes[0], 1, bytes.size(), file);
    if (count == 0) return false;
    if (count != bytes.size()) fail(path, "ends inside a frame");
    for (std::size_t i = 0; i < frame.size(); ++i) {
        unsigned long long value = 0;
        for (int b = 7; b >= 0; --b) value = value << 8 | bytes[i * 8 + b];
        frame[i] = static_cast<long long>(value);
    }
    return true;
}

inline void write_frame(std::FILE* file, const std::string& path, const Frame& frame) {
    std::vector<unsigned char> bytes(frame.size() * 8);
    for (std::size_t i = 0; i < frame.size(); ++i) {
        for (int b = 0; b < 8; ++b) bytes[i * 8 + b] = static_cast<unsigned char>(frame[i] >> (8 * b));
    }
    if (std::fwrite(&bytes[0], 1, bytes.size(), file) != bytes.size()) fail(path, "cannot be written");
}

template <class DESIGN>
int stream_file(const std::string& from, const std::string& to) {
    std::FILE* source = std::fopen(from.c_str(), "rb");
    if (source == 0) fail(from, "cannot be opened");
    std::FILE* target = std::fopen(to.c_str(), "wb");
    if (target == 0) fail(to, "cannot be opened");
    hls::stream<typename DESIGN::InBeat> in("in");
    hls::stream<typename DESIGN::OutBeat> out("out");
    long long protocol = 0;
    Frame frame(static_cast<std::size_t>(DESIGN::kInHeight) * DESIGN::kInWidth * DESIGN::kInChannels);
    while (read_frame(source, from, frame)) {
        send<DESIGN>(frame, in);
        DESIGN::run(in, out);
        write_frame(target, to, receive<DESIGN>(out, protocol));
    }
    std::fclose(source);
    if (std::fclose(target) != 0) fail(to, "cannot be written");
    return protocol == 0 ? 0 : 1;
}

template <class DESIGN>
int start(int argc, char** argv) {
    if (argc == 2) return compare_vectors<DESIGN>(argv[1]);
    if (argc == 4 && std::string(argv[1]) == "--stream") return stream_file<DESIGN>(argv[2], argv[3]);
    std::cerr << "use: testbench VECTORS | testbench --stream IN OUT" << std::endl;
    return 2;
}

}  // namespace testbench
}  // namespace psp

#endif  // PSP_TESTBENCH_H
