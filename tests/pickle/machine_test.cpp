#include "launcher/weights/pickle/machine.h"

#include <gmock/gmock.h>

#include <string>

#include "launcher/weights/pickle/describe.h"
#include "tests/pickle/fixture.h"

namespace tessera::pickle {
namespace {

using test_support::refusal;

std::string bytes(std::string_view text) {
  return std::string(text);
}

/// What a pickle is, in describe()'s words.
std::string described(const std::string& text) {
  const Pickle pickle = read_pickle(text, {.file = "f"});
  return describe(pickle, pickle.root);
}

std::string refused(const std::string& text) {
  return refusal([&] { read_pickle(text, {.file = "f"}); });
}

// Python's pickle.dumps of each value, in several protocols.
TEST(PickleMachine, ReadsNumbersOfEveryProtocol) {
  EXPECT_EQ(described("I7\n."), "integer 7");
  EXPECT_EQ(described("I01\n."), "true");
  EXPECT_EQ(described("L-12L\n."), "integer -12");
  EXPECT_EQ(described("F0.125\n."), "real 0.125");
  EXPECT_EQ(described("\x80\x02J\xfe\xff\xff\xff."), "integer -2");
  EXPECT_EQ(described("\x80\x02K\xff."), "integer 255");
  EXPECT_EQ(described("\x80\x02M\xff\xff."), "integer 65535");
  EXPECT_EQ(described(bytes({"\x80\x02\x8a\x05\0\0\0\0\x80.", 10})), "integer -549755813888");
  EXPECT_EQ(described(bytes({"\x80\x02\x8a\0.", 5})), "integer 0");
  EXPECT_EQ(described(bytes({"\x80\x02\x8a\x09\0\0\0\0\0\0\0\0@.", 14})), "integer of 9 bytes");
  EXPECT_EQ(described(bytes({"\x80\x02G?\xc0\0\0\0\0\0\0.", 12})), "real 0.125");
  EXPECT_EQ(described("\x80\x02\x89."), "false");
  EXPECT_EQ(described("N."), "none");
}

TEST(PickleMachine, ReadsTextsOfEveryProtocol) {
  EXPECT_EQ(described("S'a\\x41\\n\\''\n."), "text 'aA\\x0a\\x27'");
  EXPECT_EQ(described("Vcaf\xe9 \\u20ac \\U0001f600\n."),
            "text 'caf\\xc3\\xa9 \\xe2\\x82\\xac \\xf0\\x9f\\x98\\x80'");
  EXPECT_EQ(described("\x80\x02U\x03"
                      "abc."),
            "text 'abc'");
  EXPECT_EQ(described(bytes({"\x80\x02X\x03\0\0\0abc.", 11})), "text 'abc'");
  EXPECT_EQ(described(bytes({"\x80\x04\x8c\x01z.", 6})), "text 'z'");
  EXPECT_EQ(described(bytes({"\x80\x05\x96\x02\0\0\0\0\0\0\0ab.", 14})), "2 bytes");
}

// As Python 2 pickled an OrderedDict.
TEST(PickleMachine, FillsAMappingFromAListOfPairs) {
  // Octal escapes end after three digits, whatever follows.
  const std::string dict = "\200\002ccollections\nOrderedDict\n", a = "U\001aK\001",
                    b = "U\001bK\002", call = "\205R.";
  EXPECT_EQ(described(dict + "](](" + a + "e](" + b + "ee" + call), "table of 2: a, b");
  EXPECT_EQ(described(dict + "](" + a + "\206e" + call), "table of 1: a");
  EXPECT_EQ(described(dict + "]" + call), described(dict + ")R."));
  EXPECT_THAT(refused(dict + "](](" + a + b + "ee" + call),
              testing::HasSubstr("pairs of a key and a value"));
  // One list for dict after dict: memory would grow with the square of the file.
  std::string dicts = dict + "q\0010](" + a + "eq\0020](";
  for (int i = 0; i < 400; ++i) dicts += "h\002";
  dicts += "eq\0030](";
  for (int i = 0; i < 400; ++i) dicts += "h\001h\003\205R";
  EXPECT_THAT(refused(dicts + "e."), testing::HasSubstr("each list of pairs once"));
}

TEST(PickleMachine, BuildsContainersAndRefersBack) {
  EXPECT_EQ(described("(lp0\nI1\naI2\na."), "list of 2");
  EXPECT_EQ(described("\x80\x02}q\x01(U\x01"
                      "aK\x01U\x01"
                      "bh\x01"
                      "0Nu."),
            "table of 2: a, b");
  EXPECT_EQ(described("(dS'a'\nI1\ns."), "table of 1: a");
  EXPECT_EQ(described("\x80\x02K\x01K\x02K\x03\x87q\x01h\x01"
                      "0."),
            "list of 3");
  EXPECT_EQ(described("\x80\x04\x8f(K\x01K\x02\x90."), "set of 2");
  EXPECT_EQ(described("\x80\x02(K\x01(K\x02"
                      "1t."),
            "list of 1");
}

TEST(PickleMachine, BuildsObjectsOfListedGlobalsWithoutCallingThem) {
  EXPECT_EQ(described("\x80\x02"
                      "cargparse\nNamespace\n)\x81}U\x02lrK\x01sb."),
            "argparse.Namespace: lr");
  EXPECT_EQ(described("(iargparse\nNamespace\n."), "argparse.Namespace");
  EXPECT_EQ(described("(cargparse\nNamespace\no."), "argparse.Namespace");
  EXPECT_EQ(described("ccollections\nOrderedDict\n)RU\x01"
                      "aK\x01s."),
            "table of 1: a");
}

TEST(PickleMachine, KeepsObjectsOfOtherClassesInert) {
  // datetime.date(2024, 1, 2) of protocol 2: a call with bytes.
  EXPECT_EQ(described("\x80\x02"
                      "cdatetime\ndate\nU\x04\x07\xe8\x01\x02\x85R."),
            "datetime.date");
  // A list, a set and a dict of other classes: items, entries, attributes.
  EXPECT_EQ(described("ccollections\ndeque\n)R(K\x01K\x02"
                      "e."),
            "collections.deque");
  EXPECT_EQ(described("\x80\x04"
                      "cmy.sets\nNames\n)\x81(K\x01\x90."),
            "my.sets.Names");
  EXPECT_EQ(described("\x80\x02"
                      "ceasydict\nEasyDict\n)\x81(U\x02lrK\x01U\x01zK\x02u}U\x02lrK\x01sb."),
            "easydict.EasyDict: lr, z");
  EXPECT_EQ(described("\x80\x02"
                      "ctypes\nSimpleNamespace\n)\x81}U\x02lrK\x01sb."),
            "types.SimpleNamespace: lr");
  EXPECT_EQ(described("\x80\x04\x8c\x03lib\x8c\x05"
                      "A.B.C\x93)}K\x01K\x02s\x92."),
            "lib.A.B.C");
  EXPECT_EQ(described("ccopy_reg\n_reconstructor\n(cmy.lib\nThing\nc__builtin__\nobject\nNtR."),
            "my.lib.Thing");
  // omegaconf's nodes hold their parents.
  EXPECT_EQ(described("\x80\x02"
                      "comegaconf.dictconfig\nDictConfig\n)\x81q\x01}(U\x07_parentNU\x08_content}"
                      "U\x02lrcomegaconf.nodes\nAnyNode\n)\x81}U\x07_parenth\x01sbsub."),
            "omegaconf.dictconfig.DictConfig: _parent, _content");
  // A name that a terminal would obey.
  EXPECT_EQ(described("\x80\x02"
                      "cm\x1b\nN\n)\x81."),
            "m\\x1b.N");
}

TEST(PickleMachine, RefusesGlobalsThatRunCode) {
  for (const char* text :
       {"cposix\nsystem\n(S'true'\ntR.", "(S'true'\niposix\nsystem\n.",
        "\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.", "cposix\nsystem\n."}) {
    EXPECT_NE(refused(text).find("'posix.system'"), std::string::npos) << refused(text);
    EXPECT_NE(refused(text).find("f: byte "), std::string::npos);
  }
  // A name with dots would walk through attributes of a listed module.
  EXPECT_NE(refused("\x80\x04\x8c\x05torch\x8c\x0bTensor.loads\x93."), "");
  EXPECT_NE(refused("cargparse\nNamespace.__init__\n."), "");
  EXPECT_NE(refused("cbuiltins\neval\n."), "");
  EXPECT_NE(refused("cbuiltins\ngetattr\n."), "");
  for (const char* name :
       {"os\nsystem", "os.path\njoin", "subprocess\nPopen", "importlib\nimport_module",
        "__builtin__\nexec", "builtins\n__import__", "_io\nopen", "torch.hub\nload", "torch\nload",
        "pickle\nloads", "shutil\nrmtree", "operator\nattrgetter", "my.lib\nThing.__globals__"})
    EXPECT_NE(refused("c" + std::string(name) + "\n."), "") << name;
  for (const char* name : {"ostrich\nsystem", "my.os\nsystem", "builtins\nComplexWarning"})
    EXPECT_EQ(refused("c" + std::string(name) + "\n."), "") << name;
}

TEST(PickleMachine, RefusesSizesBeyondTheFileBeforeItAllocates) {
  EXPECT_NE(refused(bytes({"\x80\x04\x8e\0\0\0\0\0\0\0\x40zz.", 14})).find("BINBYTES8"),
            std::string::npos);
  for (const char* text : {"\x80\x02T\xff\xff\xff\xff", "B\xff\xff\xff\x7f", "X\x10   abc.",
                           "\x8a\x09"
                           "abc.",
                           "\x8b\xff\xff\xff\xff.", "\x95\xff\xff\xff\xff\xff\xff\xff\xff."})
    EXPECT_NE(refused(text), "") << text;
  EXPECT_NE(refused("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.").find("FRAME"),
            std::string::npos);
  EXPECT_NE(refused("Nr\xff\xff\xff\xff.").find("LONG_BINPUT"), std::string::npos);
  EXPECT_NE(refused("Np99999999999999999999\n.").find("PUT"), std::string::npos);
}

TEST(PickleMachine, RefusesCyclesAndTooMuchNesting) {
  EXPECT_NE(refused("(lp0\ng0\na.").find("cycle"), std::string::npos);
  EXPECT_NE(refused("(dp0\nS'a'\n(g0\nts.").find("cycle"), std::string::npos);
  EXPECT_NE(refused("ccollections\nOrderedDict\n)Rq\x01(h\x01"
                    "Nu.")
                .find("cycle"),
            std::string::npos);
  const auto nested = [](size_t depth) { return "N" + std::string(depth, '\x85') + "."; };
  EXPECT_EQ(refused(nested(kMostNested)), "");
  EXPECT_NE(refused(nested(kMostNested + 1)).find("nested"), std::string::npos);
}

TEST(PickleMachine, FollowsSharedValuesOnce) {
  // A list of two references to a list of two references to ...: 2^100 ends by name, few values.
  std::string text = "(lp0\n";
  for (int i = 1; i <= 100; ++i) {
    const std::string before = "g" + std::to_string(i - 1) + "\n";
    text += "0(" + before + before + "lp" + std::to_string(i) + "\n";
  }
  EXPECT_EQ(described(text + "."), "list of 2");
}

TEST(PickleMachine, RefusesMoreValuesThanAnyWeightFileHas) {
  EXPECT_NE(refused(std::string(kMostValues + 1, '}')).find("values"), std::string::npos);
}

TEST(PickleMachine, RefusesWhatIsNoPickle) {
  for (const char* text : {"",
                           "N",
                           ".",
                           "NN.",
                           "(.",
                           "\x80\x06N.",
                           "\xff",
                           "h\x01.",
                           "N(.",
                           "]K\x01s.",
                           "}K\x01"
                           "a.",
                           "K\x01NR.",
                           "cargparse\nNamespace\nNR.",
                           "Nb.",
                           "N}b.",
                           "\x82\x01.",
                           "\x97.",
                           "Pid\n.",
                           "NQ.",
                           "(K\x01"
                           "d.",
                           "}(K\x01u.",
                           "Ix\n.",
                           "F1,5\n.",
                           "S'a\n.",
                           "S'\\q'\n.",
                           "V\\u12\n.",
                           "V\\ud800\n.",
                           "\x80\x04\x8c\x01\xff.",
                           "t.",
                           "a.",
                           "0.",
                           "1.",
                           "2.",
                           "cargparse\nNamespace\n)\x81}b}b.",
                           "ctorch\nFloatStorage\n)}K\x01K\x02s\x92."})
    EXPECT_NE(refused(text), "") << text;
}

}  // namespace
}  // namespace tessera::pickle
