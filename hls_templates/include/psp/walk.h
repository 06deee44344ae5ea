// The walk of a window engine over one frame.
//
// Positions are those of a raster with `pitch` columns. The pixel at a position enters the engine when the walk comes
// by; the window of output pixel (y, x) is complete when the walk stands `lead` positions after (y * stride, x * stride),
// because the last tap in raster order is then the pixel that just entered. Two pairs of counters follow the walk: one
// for the pixel that enters, one, `lead` positions behind, for the pixel that leaves. All are compared with constants;
// nothing is divided.
//
// SCAN names the constants of the frame:
//   kHeight, kWidth          the frame that enters
//   kOutHeight, kOutWidth    the frame that leaves
//   kStrideY, kStrideX       pixels between neighbouring windows
//   kPitch                   columns of the raster
//   kFirst, kSteps           first position and number of positions
//   kLead                    position of the last tap for output pixel (0, 0)
#ifndef PSP_WALK_H
#define PSP_WALK_H

#include "psp/number.h"

namespace psp {

// A kernel position, relative to the output pixel's place in the input frame.
struct Offset {
    short dy;
    short dx;
};

template <class SCAN>
class Walk {
    static const int kInRow = detail::floor_div(SCAN::kFirst, SCAN::kPitch);
    static const int kInColumn = detail::floor_mod(SCAN::kFirst, SCAN::kPitch);
    static const int kOutRow = detail::floor_div(SCAN::kFirst - SCAN::kLead, SCAN::kPitch);
    static const int kOutColumn = detail::floor_mod(SCAN::kFirst - SCAN::kLead, SCAN::kPitch);
    static const int kLastRow = (SCAN::kOutHeight - 1) * SCAN::kStrideY;
    static const int kLastColumn = (SCAN::kOutWidth - 1) * SCAN::kStrideX;
    static const int kRows = SCAN::kSteps / SCAN::kPitch + 2;  // the walk begins and ends somewhere inside a row

  public:
    Walk()
        : in_row_(kInRow),
          in_column_(kInColumn),
          out_row_(kOutRow),
          out_column_(kOutColumn),
          row_phase_(detail::floor_mod(kOutRow, SCAN::kStrideY)),
          column_phase_(kOutColumn % SCAN::kStrideX) {
#pragma HLS INLINE
    }

    // A pixel of the frame lies at this position.
    bool reads() const {
#pragma HLS INLINE
        return in_row_ >= 0 && in_row_ < SCAN::kHeight && in_column_ < SCAN::kWidth;
    }

    // A window is complete at this position.
    bool writes() const {
#pragma HLS INLINE
        return out_row_ >= 0 && out_row_ <= kLastRow && out_column_ <= kLastColumn && row_phase_ == 0 && column_phase_ == 0;
    }

    // The pixel under a tap of the complete window lies inside the frame; where no window is complete, any answer.
    //
    // A side that no window takes the tap across is not compared with: that is known where the tap is.
    bool covers(const Offset& tap) const {
#pragma HLS INLINE
        const int row = number<int>(out_row_) + tap.dy;
        const int column = number<int>(out_column_) + tap.dx;
        const bool above = tap.dy < 0 && row < 0;
        const bool below = kLastRow + tap.dy >= SCAN::kHeight && row >= SCAN::kHeight;
        const bool before = tap.dx < 0 && column < 0;
        const bool behind = kLastColumn + tap.dx >= SCAN::kWidth && column >= SCAN::kWidth;
        return !(above || below || before || behind);
    }

    void advance() {
#pragma HLS INLINE
        if (in_column_ == SCAN::kPitch - 1) {
            in_column_ = 0;
            ++in_row_;
        } else {
            ++in_column_;
        }
        if (out_column_ == SCAN::kPitch - 1) {
            out_column_ = 0;
            column_phase_ = 0;
            ++out_row_;
            row_phase_ = row_phase_ == SCAN::kStrideY - 1 ? 0 : number<int>(row_phase_) + 1;
        } else {
            ++out_column_;
            column_phase_ = column_phase_ == SCAN::kStrideX - 1 ? 0 : number<int>(column_phase_) + 1;
        }
    }

  private:
    typename Counter<kInRow, kInRow + kRows>::type in_row_;
    typename Counter<0, SCAN::kPitch>::type in_column_;
    typename Counter<kOutRow, kOutRow + kRows>::type out_row_;
    typename Counter<0, SCAN::kPitch>::type out_column_;
    typename Counter<0, SCAN::kStrideY>::type row_phase_;
    typename Counter<0, SCAN::kStrideX>::type column_phase_;
};

}  // namespace psp

#endif  // PSP_WALK_H
