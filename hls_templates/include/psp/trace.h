// C simulation only (-DPSP_TRACE): a channel that keeps a copy of every token in <directory>/<channel>.bin.
//
// A token is written as its bits, least significant byte first, in ceil(width / 8) bytes. The directory is the value of
// the environment variable PSP_TRACE_DIR; nothing is written where it is not set.
#ifndef PSP_TRACE_H
#define PSP_TRACE_H

#include <cstdio>
#include <cstdlib>
#include <string>

#include <hls_stream.h>

namespace psp {

template <class T>
class Stream : public hls::stream<T> {
  public:
    explicit Stream(const char* name) : hls::stream<T>(std::string(name)), file_(0) {
        const char* directory = std::getenv("PSP_TRACE_DIR");
        if (directory == 0) return;
        const std::string path = std::string(directory) + "/" + name + ".bin";
        file_ = std::fopen(path.c_str(), "ab");
        if (file_ == 0) {
            std::perror(path.c_str());
            std::exit(2);
        }
    }

    ~Stream() {
        if (file_ != 0) std::fclose(file_);
    }

    void write(const T& token) {
        if (file_ != 0) {
            for (int low = 0; low < T::width; low += 8) {
                const int high = low + 7 < T::width ? low + 7 : T::width - 1;
                std::fputc(static_cast<int>(token.range(high, low).to_uint()), file_);
            }
        }
        hls::stream<T>::write(token);
    }

  private:
    Stream(const Stream&);
    Stream& operator=(const Stream&);

    std::FILE* file_;
};

}  // namespace psp

#endif  // PSP_TRACE_H
