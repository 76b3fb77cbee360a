#include "bulkhead/program/complete.h"

#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bulkhead::program {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A program like ours, small.
class CompleteTest : public ::testing::Test {
 protected:
  CompleteTest() {
    CLI::App* run = app_.add_subcommand("run", "Run a command");
    run->add_option("-m,--memory", memory_, "Memory")->type_name("SIZE");
    run->add_option("--network", network_, "Its network\nand more")->type_name("NETWORK");
    run->add_option("--pull", pull_, "When to pull")
        ->check(CLI::IsMember({"always", "missing", "never"}));
    run->add_option("--env-file", files_, "Variables")->type_name("FILE")->allow_extra_args(false);
    run->add_flag("-i,--interactive", interactive_, "Pass input on");
    run->add_flag_callback("-t", [] {}, "Terminal");
    run->prefix_command();
    name_arguments(*run, "program", "IMAGE [ARG…]");
    CLI::App* remove = app_.add_subcommand("rm", "Remove things")->alias("remove");
    remove->add_option("CONTAINER", names_, "names")->required();
    app_.add_subcommand("secret", "Not in the help")->group("");
    CLI::App* image = app_.add_subcommand("image", "Images");
    CLI::App* save = image->add_subcommand("save", "Save images");
    save->add_option("IMAGE", memory_, "name")->required();
    save->add_option("TO", pull_, "file");
  }

  Completion ask(const std::vector<std::string>& words) {
    return complete(app_, words, [this](const Wanted& wanted) {
      wanted_.push_back(wanted.command + ": " + wanted.placeholder + " " + wanted.beginning);
      if (wanted.placeholder == "CONTAINER") {
        return std::vector<Candidate>{{.word = "web", .description = "nginx"},
                                      {.word = "db", .description = ""}};
      }
      return std::vector<Candidate>{{.word = "alpine:3.20", .description = ""},
                                    {.word = "debian:12", .description = ""}};
    });
  }

  std::vector<std::string> words(const std::vector<std::string>& typed) {
    std::vector<std::string> list;
    for (const Candidate& candidate : ask(typed).candidates) {
      list.push_back(candidate.word);
    }
    return list;
  }

  CLI::App app_;
  std::string memory_;
  std::string network_;
  std::string pull_;
  std::vector<std::string> files_;
  std::vector<std::string> names_;
  bool interactive_ = false;
  std::vector<std::string> wanted_;
};

TEST_F(CompleteTest, CommandsComeWithTheirHelp) {
  const Completion all = ask({""});
  ASSERT_EQ(all.candidates.size(), 3U);  // the hidden one is not told
  EXPECT_EQ(all.candidates[0].word, "run");
  EXPECT_EQ(all.candidates[0].description, "Run a command");
  EXPECT_THAT(words({"r"}), ElementsAre("run", "rm"));
  EXPECT_THAT(words({"image", ""}), ElementsAre("save"));
  EXPECT_THAT(words({"nonsense", ""}), IsEmpty());
  EXPECT_THAT(complete(app_, {}, {}).candidates, IsEmpty());
}

TEST_F(CompleteTest, OptionsComeByTheirLongNames) {
  EXPECT_THAT(words({"run", "-"}), ElementsAre("--help", "--memory", "--network", "--pull",
                                               "--env-file", "--interactive", "-t"));
  EXPECT_THAT(words({"run", "--p"}), ElementsAre("--pull"));
  EXPECT_EQ(ask({"run", "--net"}).candidates.at(0).description, "Its network");
}

TEST_F(CompleteTest, ValuesOfAFixedSet) {
  EXPECT_THAT(words({"run", "--pull", ""}), ElementsAre("always", "missing", "never"));
  EXPECT_THAT(words({"run", "--pull=m"}), ElementsAre("--pull=missing"));
  EXPECT_THAT(wanted_, IsEmpty());
}

TEST_F(CompleteTest, PlaceholdersAreTheProgramsBusiness) {
  EXPECT_THAT(words({"rm", "w"}), ElementsAre("web"));
  EXPECT_THAT(words({"run", "--network", "al"}), ElementsAre("alpine:3.20"));
  EXPECT_THAT(words({"run", "--network=al"}), ElementsAre("--network=alpine:3.20"));
  EXPECT_THAT(words({"image", "save", ""}), ElementsAre("alpine:3.20", "debian:12"));
  EXPECT_THAT(wanted_, ElementsAre("rm: CONTAINER w", "run: NETWORK al", "run: NETWORK al",
                                   "image save: IMAGE "));
}

TEST_F(CompleteTest, NothingIsNamedTwice) {
  EXPECT_THAT(words({"remove", "web", ""}), ElementsAre("db"));
}

TEST_F(CompleteTest, TheFirstArgumentEndsOurPart) {
  EXPECT_THAT(words({"run", "-it", "-m", "1g", "--pull=never", "deb"}), ElementsAre("debian:12"));
  EXPECT_THAT(words({"run", "-m1g", "deb"}), ElementsAre("debian:12"));
  EXPECT_THAT(words({"run", "--", "deb"}), ElementsAre("debian:12"));
  EXPECT_THAT(words({"run", "-im", ""}), ElementsAre("alpine:3.20", "debian:12"));
  EXPECT_EQ(wanted_.back(), "run: SIZE ");
  wanted_.clear();
  EXPECT_THAT(words({"run", "debian", "-"}), IsEmpty());
  EXPECT_THAT(words({"run", "debian", "ls", "run"}), IsEmpty());
}

TEST_F(CompleteTest, FilesAreTheShellsBusiness) {
  EXPECT_TRUE(ask({"run", "--env-file", ""}).has_files);
  EXPECT_TRUE(ask({"run", "--env-file", "a", "--env-file=b"}).has_files);
  EXPECT_TRUE(ask({"image", "save", "debian", ""}).has_files);
  EXPECT_FALSE(ask({"image", "save", "debian", "file", ""}).has_files);
  EXPECT_FALSE(ask({"run", "--env-file", "a", ""}).has_files);
}

TEST(WordsToComplete, AreThoseBehindTheMark) {
  const std::vector<const char*> asked = {"bulkhead", "__complete", "--", "run", ""};
  EXPECT_THAT(words_to_complete(5, asked.data()), ElementsAre("run", ""));
  EXPECT_THAT(words_to_complete(3, asked.data()), IsEmpty());
  const std::vector<const char*> other = {"bulkhead", "run", "--", "x"};
  EXPECT_THAT(words_to_complete(4, other.data()), IsEmpty());
}

}  // namespace
}  // namespace bulkhead::program
