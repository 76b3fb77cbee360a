#include "bulkhead/db/database.h"

#include <fcntl.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <sqlite3.h>

#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/os/io.h"

namespace bulkhead::db {
namespace {

constexpr std::chrono::milliseconds kLookTimeout{100};

struct Closer {
  void operator()(sqlite3* handle) const { ::sqlite3_close_v2(handle); }
};

struct Finalizer {
  void operator()(sqlite3_stmt* statement) const { ::sqlite3_finalize(statement); }
};

ErrorCode code_of_constraint(int extended) {
  switch (extended) {
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
    case SQLITE_CONSTRAINT_UNIQUE:
      return ErrorCode::AlreadyExists;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
      return ErrorCode::FailedPrecondition;
    default:
      return ErrorCode::Invalid;
  }
}

ErrorCode code_of(int extended) {
  switch (extended & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorCode::Unavailable;
    case SQLITE_FULL:
      return ErrorCode::NoSpace;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ErrorCode::Corrupt;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
      return ErrorCode::PermissionDenied;
    case SQLITE_CONSTRAINT:
      return code_of_constraint(extended);
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
      return ErrorCode::ResourceExhausted;
    default:
      return ErrorCode::Io;
  }
}

Error failure(sqlite3* handle, std::string_view what) {
  // What the operating system refused has its cause in errno: no file, no descriptor, a full disk.
  const int os_error = ::sqlite3_system_errno(handle);
  const int result = ::sqlite3_extended_errcode(handle);
  const int primary = result & 0xff;
  if ((primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN) && os_error != 0) {
    return Error::from_errno(os_error, what);
  }
  return {code_of(result), fmt::format("{}: {}", what, ::sqlite3_errmsg(handle))};
}

}  // namespace

struct Statement::State {
  std::unique_ptr<sqlite3_stmt, Finalizer> statement;
  std::string path;
  std::optional<Error> bind_failure;  ///< of the first parameter that could not be bound

  [[nodiscard]] Error failure() const {
    return db::failure(::sqlite3_db_handle(statement.get()), path);
  }

  void bound(int result) {
    if (result != SQLITE_OK && !bind_failure) {
      bind_failure = failure();
    }
  }
};

Statement::Statement(std::unique_ptr<State> state) : state_(std::move(state)) {}

Statement::Statement(Statement&& other) noexcept = default;
Statement& Statement::operator=(Statement&& other) noexcept = default;
Statement::~Statement() = default;

Statement& Statement::bind(int parameter, std::int64_t value) {
  state_->bound(::sqlite3_bind_int64(state_->statement.get(), parameter, value));
  return *this;
}

Statement& Statement::bind(int parameter, std::string_view value) {
  state_->bound(::sqlite3_bind_text64(state_->statement.get(), parameter, value.data(),
                                      value.size(),
                                      SQLITE_TRANSIENT,  // NOLINT: SQLite's own cast
                                      SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind_null(int parameter) {
  state_->bound(::sqlite3_bind_null(state_->statement.get(), parameter));
  return *this;
}

Result<bool> Statement::step() {
  if (state_->bind_failure) {
    return *state_->bind_failure;
  }
  const int result = ::sqlite3_step(state_->statement.get());
  if (result == SQLITE_ROW) {
    return true;
  }
  if (result == SQLITE_DONE) {
    return false;
  }
  return state_->failure();
}

Result<> Statement::run() {
  const auto stepped = step();
  reset();
  if (!stepped) {
    return stepped.error();
  }
  return {};
}

void Statement::reset() {
  ::sqlite3_reset(state_->statement.get());
  ::sqlite3_clear_bindings(state_->statement.get());
  state_->bind_failure.reset();
}

std::int64_t Statement::integer(int column) const {
  return ::sqlite3_column_int64(state_->statement.get(), column);
}

std::string Statement::text(int column) const {
  const auto* text = ::sqlite3_column_text(state_->statement.get(), column);
  const int size = ::sqlite3_column_bytes(state_->statement.get(), column);
  if (text == nullptr) {
    return {};
  }
  return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(size)};
}

bool Statement::is_null(int column) const {
  return ::sqlite3_column_type(state_->statement.get(), column) == SQLITE_NULL;
}

struct Database::State {
  std::unique_ptr<sqlite3, Closer> handle;
  std::string path;
};

Database::Database(std::unique_ptr<State> state) : state_(std::move(state)) {}

Database::Database(Database&&) noexcept = default;
Database& Database::operator=(Database&&) noexcept = default;
Database::~Database() = default;

namespace {

/// SQLite makes files 0644; ours hold names that are nobody else's business. A file that is there
/// is not opened, and one that was made is closed before SQLite has it: whoever closes a file drops
/// all locks of its process on it (POSIX), and others take its log for nobody's.
Result<> make_file(const std::string& path) {
  const auto file = os::open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  return file || file.error().code() == ErrorCode::AlreadyExists ? Result<>()
                                                                 : Result<>(file.error());
}

}  // namespace

Result<Database> Database::open(const std::string& path,
                                std::span<const std::string_view> migrations,
                                const Options& options) {
  BH_TRY(make_file(path));
  Database database = BH_TRY(connect(path, options.busy_timeout));
  BH_TRY(database.use_write_ahead_log());
  BH_TRY(database.execute("PRAGMA foreign_keys=ON"));
  BH_TRY(database.execute(options.durability == Durability::Full ? "PRAGMA synchronous=FULL"
                                                                 : "PRAGMA synchronous=NORMAL"));
  BH_TRY(database.migrate(migrations));
  return database;
}

Result<Database> Database::open_existing(const std::string& path, std::size_t version) {
  // Not read-only to SQLite: a connection that may not write leaves its log's files behind.
  Database database = BH_TRY(connect(path, kLookTimeout));
  BH_TRY(database.execute("PRAGMA query_only=ON"));
  if (const std::size_t found = BH_TRY(database.version()); found != version) {
    return fail(ErrorCode::FailedPrecondition, "{}: has schema version {}, not {}", path, found,
                version);
  }
  return database;
}

Result<Database> Database::connect(const std::string& path,
                                   std::chrono::milliseconds busy_timeout) {
  auto state = std::make_unique<State>();
  state->path = path;
  sqlite3* handle = nullptr;
  const int result = ::sqlite3_open_v2(
      path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      nullptr);
  state->handle.reset(handle);
  if (result != SQLITE_OK) {
    return failure(handle, path);
  }
  // It opens what it may not write for reading, and then misses files that it may not make.
  if (::sqlite3_db_readonly(handle, "main") == 1) {
    return fail(ErrorCode::PermissionDenied,
                "{}: it cannot be written: a read-only file system, or another user's file", path);
  }
  ::sqlite3_busy_timeout(handle, static_cast<int>(busy_timeout.count()));
  return Database(std::move(state));
}

Result<> Database::use_write_ahead_log() {
  Statement statement = BH_TRY(prepare("PRAGMA journal_mode=WAL"));
  static_cast<void>(BH_TRY(statement.step()));
  // SQLite answers with the mode that it got, which is another on file systems without shared
  // memory.
  if (const std::string mode = statement.text(0); mode != "wal") {
    return fail(ErrorCode::Unsupported, "{}: stays in journal mode {}, needs a local file system",
                state_->path, mode);
  }
  return {};
}

Result<std::size_t> Database::version() {
  Statement statement = BH_TRY(prepare("PRAGMA user_version"));
  static_cast<void>(BH_TRY(statement.step()));
  return static_cast<std::size_t>(statement.integer(0));
}

Result<> Database::migrate(std::span<const std::string_view> migrations) {
  std::size_t current = BH_TRY(version());
  if (current == migrations.size()) {
    return {};
  }
  Transaction transaction = BH_TRY(Transaction::begin(*this));
  // Another process may have done it meanwhile.
  current = BH_TRY(version());
  if (current > migrations.size()) {
    return fail(ErrorCode::FailedPrecondition,
                "{}: has schema version {}, this program knows {} at most; use a newer one",
                state_->path, current, migrations.size());
  }
  for (; current < migrations.size(); ++current) {
    BH_TRY(execute(std::string(migrations[current])));
  }
  BH_TRY(execute(fmt::format("PRAGMA user_version={}", current)));
  return std::move(transaction).commit();
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const int result = ::sqlite3_prepare_v2(state_->handle.get(), sql.data(),
                                          static_cast<int>(sql.size()), &raw, nullptr);
  auto state = std::make_unique<Statement::State>();
  state->statement.reset(raw);
  state->path = state_->path;
  if (result != SQLITE_OK) {
    return failure(state_->handle.get(), state_->path);
  }
  return Statement(std::move(state));
}

Result<> Database::execute(const std::string& sql) {
  if (::sqlite3_exec(state_->handle.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return failure(state_->handle.get(), state_->path);
  }
  return {};
}

std::int64_t Database::changes() const { return ::sqlite3_changes64(state_->handle.get()); }

Result<Transaction> Transaction::begin(Database& database) {
  BH_TRY(database.execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  if (database_ != nullptr) {
    std::ignore = database_->execute("ROLLBACK");
  }
}

Result<> Transaction::commit() && {
  BH_TRY(database_->execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace bulkhead::db
