#include "bulkhead/mux/connection.h"
