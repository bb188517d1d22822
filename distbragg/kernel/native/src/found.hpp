// The reflections found last, which the tiles of a frame share.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "latest.hpp"
#include "near_sphere.hpp"

namespace distbragg::closed {

using Places = std::vector<Place>;

// All that reflections are found by, as numbers: equal ones find the same.
class Wanted {
 public:
  Wanted(const Crystal& crystal, const Incidence& in) {
    for (const Vector& v : {crystal.a, crystal.b, crystal.c, crystal.spindle.axis, in.direction,
                            in.one, in.two}) {
      for (const double part : {v.x, v.y, v.z}) add(part);
    }
    for (const Symmetric& m : {crystal.covariance, crystal.mosaic}) {
      for (const double part : {m.xx, m.xy, m.xz, m.yy, m.yz, m.zz}) add(part);
    }
    for (const double part : {crystal.spindle.start, crystal.spindle.stop, crystal.cut,
                              crystal.shortest, in.wavenumber, in.width, in.low, in.high}) {
      add(part);
    }
    for (int n = 0; n < crystal.strains.count; ++n) {
      for (const Vector& row : crystal.strains.rows[n]) {
        for (const double part : {row.x, row.y, row.z}) add(part);
      }
    }
  }

  bool operator==(const Wanted& other) const { return numbers_ == other.numbers_; }

 private:
  void add(double number) { numbers_[count_++] = number; }

  std::array<double, 41 + 9 * Strains::kMost> numbers_ = {};
  std::size_t count_ = 0;
};

// Finds the reflections of one source, in order of h, k, l, or has them from before. Those of frames
// long past are let go: a run of many small ones is to take no more memory than its first.
inline std::shared_ptr<const Places> find_places(const Crystal& crystal, const Incidence& in) {
  constexpr std::size_t kMostBytes = std::size_t{32} << 20, kFewBytes = std::size_t{4} << 20;
  static Latest<Wanted, Places> latest(kMostBytes, kFewBytes);
  const Wanted wanted(crystal, in);
  if (auto found = latest.find(wanted)) return found;
  auto places = std::make_shared<Places>();
  if (const auto last = latest.last()) places->reserve(last->size() / 8 * 9);  // about as many
  NearSphere(crystal, in).each([&](const Place& place) { places->push_back(place); });
  if (places->capacity() > places->size() / 4 * 5) places->shrink_to_fit();
  latest.add(wanted, places, sizeof wanted + places->capacity() * sizeof(Place));
  return places;
}

}  // namespace distbragg::closed
