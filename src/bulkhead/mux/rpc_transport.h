#pragma once

#include <cstdint>
#include <memory>

#include "bulkhead/mux/session.h"
#include "bulkhead/ttrpc/transport.h"

namespace bulkhead::mux {

/// How the stream comes to be.
enum class StreamOrigin : std::uint8_t {
  Open,    ///< we open it
  Attach,  ///< the peer has opened it (SessionEvents::on_open)
};

/// ttrpc over one stream. When the peer ends its direction or the stream is reset, the transport is
/// closed. It may outlive the
/// session (Connection::weak_session()).
std::unique_ptr<ttrpc::Transport> make_rpc_transport(std::weak_ptr<Session> session, StreamId id,
                                                     StreamOrigin origin);

}  // namespace bulkhead::mux
