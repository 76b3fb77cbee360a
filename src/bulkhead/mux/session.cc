#include "bulkhead/mux/session.h"
