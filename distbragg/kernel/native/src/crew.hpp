// The threads that help with one call. A helper that the system starts late, on a busy machine,
// finds the work done and goes without having been waited for.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace distbragg {

// Ends a call that another thread has asked to stop; what it was to write stays unfinished.
struct Stopped {};

inline void stop_if_asked(const std::uint8_t* stop) {
  if (stop != nullptr && __atomic_load_n(stop, __ATOMIC_RELAXED) != 0) throw Stopped{};
}

// What the caller and its helpers share; the last of them frees it.
class Crew {
 public:
  // Whether a helper may still begin; if so it must end.
  bool begin() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!closed_) ++at_work_;
    return !closed_;
  }

  void end(std::exception_ptr error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (error != nullptr) error_ = error;
    --at_work_;
    ended_.notify_one();
  }

  // Lets no more helpers begin, and waits for those that have. What stopped one, if any did.
  std::exception_ptr close() {
    std::unique_lock<std::mutex> lock(mutex_);
    closed_ = true;
    ended_.wait(lock, [this] { return at_work_ == 0; });
    return error_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  std::int64_t at_work_ = 0;
  bool closed_ = false;
  std::exception_ptr error_;
};

// Calls work(piece, space) for every piece, each on one thread; one thread for each space.
template <class Space, class Work>
void share_out(std::int64_t pieces, std::vector<std::unique_ptr<Space>>& spaces, Work work) {
  std::atomic<std::int64_t> next{0};
  auto take = [&](Space& space) -> std::exception_ptr {
    try {
      for (std::int64_t piece = next++; piece < pieces; piece = next++) work(piece, space);
      return nullptr;
    } catch (...) {
      return std::current_exception();
    }
  };
  const auto crew = std::make_shared<Crew>();
  for (std::size_t t = 1; t < spaces.size(); ++t) {
    try {
      // Nothing but the crew may be touched before it is known that the caller waits.
      std::thread([crew, &take, &space = *spaces[t]] {
        if (crew->begin()) crew->end(take(space));
      }).detach();
    } catch (const std::exception&) {
      break;  // no thread or no memory to be had: the others take the pieces
    }
  }
  const std::exception_ptr own = take(*spaces[0]);
  const std::exception_ptr others = crew->close();
  if (own != nullptr) std::rethrow_exception(own);
  if (others != nullptr) std::rethrow_exception(others);
}

}  // namespace distbragg
