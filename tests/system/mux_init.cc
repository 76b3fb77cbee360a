// A guest's PID 1 for the test of the multiplexer. A stream that the host opens does, by the first
// byte that comes:
//
//   e  echoes what follows          s  swallows what follows, and says how many bytes at its end
//   g  sends 64 MiB and ends        c  says the microseconds of processor time of this program

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/mux/connection.h"
#include "bulkhead/mux/session.h"
#include "bulkhead/os/event_loop.h"
#include "bulkhead/os/unique_fd.h"

namespace {

using namespace bulkhead;  // NOLINT(google-build-using-namespace): a test program

constexpr std::size_t kGenerated = 64U << 20U;

int open_port() {
  for (int attempt = 0; attempt < 2000; ++attempt) {
    if (DIR* directory = ::opendir("/sys/class/virtio-ports")) {
      while (const dirent* entry = ::readdir(directory)) {
        const std::string base = std::string("/sys/class/virtio-ports/") + entry->d_name;
        std::array<char, 64> name{};
        const int file = ::open((base + "/name").c_str(), O_RDONLY);
        const bool is_ours = file >= 0 && ::read(file, name.data(), name.size() - 1) > 0 &&
                             std::string(name.data()) == "org.bulkhead.agent.0\n";
        ::close(file);
        if (is_ours) {
          return ::open((std::string("/dev/") + entry->d_name).c_str(), O_RDWR);
        }
      }
      ::closedir(directory);
    }
    ::usleep(1000);
  }
  return -1;
}

std::string processor_time() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return std::to_string((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 +
                        usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

class Guest {
 public:
  explicit Guest(os::EventLoop& loop, int port) {
    connection_ = *mux::Connection::create(loop, os::UniqueFd(port), mux::Role::Guest,
                                           {.on_ready = nullptr,
                                            .on_open = [this](mux::StreamId id) { open(id); },
                                            .on_broken = nullptr});
  }

 private:
  struct Stream {
    char command = 0;
    std::size_t count = 0;
    std::string echo;
    bool ended = false;
  };

  void open(mux::StreamId id) {
    streams_[id] = {};
    std::ignore = connection_->session().attach(
        id, {.on_data = [this, id](Bytes bytes) { receive(id, bytes); },
             .on_end = [this, id] { end(id); },
             .on_writable = [this, id] { write(id); },
             .on_reset = [this, id](const Error&) { streams_.erase(id); }});
  }

  void receive(mux::StreamId id, Bytes bytes) {
    Stream& stream = streams_[id];
    mux::Session& session = connection_->session();
    std::size_t consumed = bytes.size();
    if (stream.command == 0) {
      stream.command = as_text(bytes)[0];
      bytes = bytes.subspan(1);
      if (stream.command == 'c') {
        std::ignore = session.write(id, as_bytes(processor_time()));
        session.end(id);
      } else if (stream.command == 'g') {
        session.want_write(id);
      }
    }
    if (stream.command == 'e') {
      stream.echo += as_text(bytes);
      consumed -= bytes.size();  // when it is written back
      session.want_write(id);
    }
    stream.count += bytes.size();
    session.consume(id, consumed);
  }

  void write(mux::StreamId id) {
    Stream& stream = streams_[id];
    mux::Session& session = connection_->session();
    if (stream.command == 'g') {
      const MutableBytes room = session.reserve(id, kGenerated - stream.count);
      for (std::size_t at = 0; at < room.size();) {
        const std::size_t position = stream.count + at;
        const std::size_t size = std::min(room.size() - at, 4096 - (position % 4096));
        std::ranges::fill(room.subspan(at, size), std::byte(position >> 12U));
        at += size;
      }
      session.commit(id, room.size());
      stream.count += room.size();
      if (stream.count == kGenerated) {
        session.end(id);
      } else {
        session.want_write(id);
      }
      return;
    }
    const std::size_t written = session.write(id, as_bytes(stream.echo)).value_or(0);
    stream.echo.erase(0, written);
    session.consume(id, written);
    if (!stream.echo.empty()) {
      session.want_write(id);
    } else if (stream.ended) {
      session.end(id);
    }
  }

  void end(mux::StreamId id) {
    Stream& stream = streams_[id];
    stream.ended = true;
    if (stream.command == 's') {
      std::ignore = connection_->session().write(id, as_bytes(std::to_string(stream.count)));
      connection_->session().end(id);
    } else if (stream.command == 'e') {
      connection_->session().want_write(id);
    }
  }

  std::unique_ptr<mux::Connection> connection_;
  std::map<mux::StreamId, Stream> streams_;
};

}  // namespace

int main() {
  ::mkdir("/sys", 0755);
  ::mount("sysfs", "/sys", "sysfs", 0, nullptr);
  ::mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr);
  const int port = open_port();
  if (port < 0) {
    std::puts("mux-init: no port");
    return 1;
  }
  const auto loop = *os::EventLoop::create();
  const Guest guest(*loop, port);
  std::ignore = loop->run();
  return 1;
}
