// What was made last, kept for those who ask for the same again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>

namespace distbragg {

// Values by what they are made of, shared by all threads. The sum of their sizes stays within `most`;
// beyond `few`, those are let go too that nobody has asked for while others were asked for `kLong` times.
template <class Key, class Value>
class Latest {
 public:
  using Shared = std::shared_ptr<const Value>;

  explicit Latest(std::size_t most) : Latest(most, most) {}
  Latest(std::size_t most, std::size_t few) : most_(most), few_(few) {}

  // Null where there is none.
  Shared find(const Key& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++now_;
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (!(entry->key == key)) continue;
      entries_.splice(entries_.begin(), entries_, entry);
      entry->used = now_;
      return entry->value;
    }
    return nullptr;
  }

  // The one asked for last; null where there is none.
  Shared last() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return entries_.empty() ? nullptr : entries_.front().value;
  }

  void add(const Key& key, const Shared& value, std::size_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    entries_.push_front({key, value, size, now_});
    size_ += size;
    while (entries_.size() > 1 && too_many()) {
      size_ -= entries_.back().size;
      entries_.pop_back();
    }
  }

 private:
  static constexpr std::int64_t kLong = 64;

  struct Entry {
    Key key;
    Shared value;
    std::size_t size;
    std::int64_t used;
  };

  bool too_many() const {
    return size_ > most_ || (size_ > few_ && entries_.back().used + kLong < now_);
  }

  const std::size_t most_, few_;
  std::size_t size_ = 0;
  std::int64_t now_ = 0;
  std::list<Entry> entries_;
  mutable std::mutex mutex_;
};

}  // namespace distbragg
