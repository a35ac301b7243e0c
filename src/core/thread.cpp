#include "core/thread.hpp"

#include <pthread.h>
#include <signal.h>

namespace robocache {

namespace {

/// What a new thread inherits.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

/// A type of this file: the library shows what std::thread makes of any other.
struct Run {
  void (*body)(void*);
  void* argument;

  void operator()() const { body(argument); }
};

}  // namespace

std::thread start_thread(void (*body)(void*), void* argument) {
  const SignalsBlocked blocked;
  return std::thread(Run{body, argument});
}

}  // namespace robocache
