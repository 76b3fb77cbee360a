#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "bulkhead/base/result.h"

// One narrow header over SQLite. Objects belong to one thread; any number of processes may have the
// same file open.

namespace bulkhead::db {

class Database;

/// A prepared statement. Parameters are numbered from 1, columns from 0, as SQLite has it.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  /// What cannot be bound is the next step's error.
  Statement& bind(int parameter, std::int64_t value);
  Statement& bind(int parameter, std::string_view value);
  Statement& bind_null(int parameter);

  /// Advances to the next row; false when there is none. Errors: see Database.
  Result<bool> step();

  /// Runs a statement that gives no rows, and makes it ready to run again.
  Result<> run();

  /// Makes it ready to run again; its parameters are unbound.
  void reset();

  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] bool is_null(int column) const;

 private:
  friend class Database;
  struct State;

  explicit Statement(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

/// How much of a power cut a committed transaction survives.
enum class Durability : std::uint8_t {
  Full,    ///< all of it: synced at each commit
  Normal,  ///< the file stays whole; the last commits may be lost
};

struct Options {
  Durability durability = Durability::Full;
  std::chrono::milliseconds busy_timeout{10'000};
};

/// A connection to a database file in write-ahead mode.
/// Errors of everything here: Unavailable (another process held it past the timeout), NoSpace,
/// Corrupt, PermissionDenied, AlreadyExists (a key is there), FailedPrecondition (a foreign key),
/// Invalid (another constraint), Io, or what the operating system said.
class Database {
 public:
  /// Makes the file (0600) if absent. `migrations[n]` brings the schema from version n to n + 1; a
  /// file from a later version than there are migrations is FailedPrecondition, one on a file
  /// system that cannot hold a write-ahead log Unsupported.
  static Result<Database> open(const std::string& path,
                               std::span<const std::string_view> migrations,
                               const Options& options = {});

  /// One that is there already, for looking: nothing is made, nothing can be changed, and another
  /// process is hardly waited for. `version` is how many migrations there are.
  /// Errors: NotFound; FailedPrecondition for a file of another version.
  static Result<Database> open_existing(const std::string& path, std::size_t version);

  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  Result<Statement> prepare(std::string_view sql);

  /// Runs statements without parameters or rows.
  Result<> execute(const std::string& sql);

  /// Rows changed by the last statement.
  [[nodiscard]] std::int64_t changes() const;

 private:
  friend class Transaction;
  struct State;

  explicit Database(std::unique_ptr<State> state);
  static Result<Database> connect(const std::string& path, std::chrono::milliseconds busy_timeout);
  Result<std::size_t> version();
  Result<> use_write_ahead_log();
  Result<> migrate(std::span<const std::string_view> migrations);

  std::unique_ptr<State> state_;
};

/// Holds the write lock from begin() on; undone unless committed.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);

  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();

  Result<> commit() &&;

 private:
  explicit Transaction(Database& database) : database_(&database) {}

  Database* database_;
};

}  // namespace bulkhead::db
