// What many rays see of a reflection, side by side: each number of all of them is an array.
#pragma once

#include "crest.hpp"
#include "geometry.hpp"
#include "relp.hpp"

namespace distbragg::closed {

// The passages of many rays.
struct Passages {
  alignas(64) double here[kLanes], pull[kLanes], stiff[kLanes], start[kLanes], stop[kLanes];

  Passage operator[](int i) const { return {here[i], pull[i], stiff[i], start[i], stop[i]}; }
};

// What many rays see of a reflection, but for the divergence, which is the same for all of them where
// it does not turn.
struct Sights {
  alignas(64) double length[kLanes], per_k[3][kLanes], fixed[3][kLanes];

  DISTBRAGG_INLINE void set(int i, const Sight& sight) {
    length[i] = sight.length;
    per_k[0][i] = sight.per_k.x;
    per_k[1][i] = sight.per_k.y;
    per_k[2][i] = sight.per_k.z;
    fixed[0][i] = sight.fixed.x;
    fixed[1][i] = sight.fixed.y;
    fixed[2][i] = sight.fixed.z;
  }
  DISTBRAGG_INLINE Sight at(int i, const Symmetric& spread, const Vector& forward) const {
    return {spread, forward, length[i], {per_k[0][i], per_k[1][i], per_k[2][i]},
            {fixed[0][i], fixed[1][i], fixed[2][i]}};
  }
};

// The same of one that turns.
struct TurnedSights : Sights {
  alignas(64) double spread[6][kLanes], forward[3][kLanes];

  DISTBRAGG_INLINE void set(int i, const Sight& sight) {
    Sights::set(i, sight);
    spread[0][i] = sight.spread.xx;
    spread[1][i] = sight.spread.xy;
    spread[2][i] = sight.spread.xz;
    spread[3][i] = sight.spread.yy;
    spread[4][i] = sight.spread.yz;
    spread[5][i] = sight.spread.zz;
    forward[0][i] = sight.forward.x;
    forward[1][i] = sight.forward.y;
    forward[2][i] = sight.forward.z;
  }
  DISTBRAGG_INLINE Sight at(int i) const {
    return Sights::at(i,
                      {spread[0][i], spread[1][i], spread[2][i], spread[3][i], spread[4][i],
                       spread[5][i]},
                      {forward[0][i], forward[1][i], forward[2][i]});
  }
};

// Where rays see a reflection in a spectrum, see Sides.
struct ManySides {
  alignas(64) double at[kLanes], step[kLanes], width[kLanes], top[kLanes];

  DISTBRAGG_INLINE void set(int i, const Sides& sides) {
    at[i] = sides.middle;
    step[i] = sides.step;
    width[i] = sides.width;
    top[i] = sides.top;
  }
  // By how much the logarithm falls in a step.
  DISTBRAGG_INLINE double drop(int i) const { return step[i] * step[i] / (width[i] * width[i]); }
};

}  // namespace distbragg::closed
