#include "launcher/visualisation/overlay.h"

#include <set>

#include "launcher/data/unicode.h"
#include "tests/data/fixture.h"

namespace tessera::visualisation {
namespace {

TEST(TrackColour, IsStableAndDistinct) {
  EXPECT_EQ(track_colour(7), track_colour(7));
  std::set<std::array<uint8_t, 3>> colours;
  for (int64_t id = -3; id < 30; ++id) colours.insert(track_colour(id));
  EXPECT_EQ(colours.size(), 33U);
}

TEST(DrawOverlay, TintsTheMaskAndLeavesTheRest) {
  const at::Tensor frame = at::full({80, 120, 3}, 100, at::kByte);
  at::Tensor mask = at::zeros({80, 120}, at::kBool);
  mask.slice(0, 30, 60).slice(1, 40, 90).fill_(true);
  const at::Tensor drawn = draw_overlay(frame, {{mask, 3, "cat", 0.5}});
  EXPECT_TRUE(at::equal(frame, at::full({80, 120, 3}, 100, at::kByte))) << "the input is kept";
  const auto colour = track_colour(3);
  for (int64_t c = 0; c < 3; ++c)
    EXPECT_NEAR(drawn[45][60][c].item<uint8_t>(), (100 + colour[static_cast<size_t>(c)]) / 2.0, 1);
  EXPECT_TRUE(at::equal(drawn.slice(0, 60), frame.slice(0, 60))) << "below the mask";
  EXPECT_FALSE(at::equal(drawn.slice(0, 0, 30), frame.slice(0, 0, 30))) << "the label";
}

TEST(DrawOverlay, DrawsNothingForEmptyMasks) {
  const at::Tensor frame = at::full({20, 30, 3}, 100, at::kByte);
  EXPECT_TRUE(at::equal(
      draw_overlay(frame, {{at::zeros({20, 30}, at::kBool), 1, "a", {}}, {{}, 2, "b", {}}}),
      frame));
}

TEST(DrawOverlay, PutsLabelsInsideSmallFrames) {
  const at::Tensor frame = at::zeros({10, 12, 3}, at::kByte);
  const at::Tensor drawn =
      draw_overlay(frame, {{at::ones({10, 12}, at::kBool), 1, "a very long name", 1.0}});
  EXPECT_EQ(drawn.sizes(), frame.sizes());
}

/// The label's picture, cut out of a large overlay.
at::Tensor label_picture(const std::string& category) {
  at::Tensor mask = at::zeros({200, 400}, at::kBool);
  mask.slice(0, 100, 110).slice(1, 10, 20).fill_(true);
  return draw_overlay(at::zeros({200, 400, 3}, at::kByte), {{mask, 3, category, 0.5}})
      .slice(0, 0, 100);
}

// OpenCV's font draws every byte beyond ASCII as a question mark.
TEST(DrawOverlay, DrawsLettersBeyondAscii) {
  const at::Tensor dog = label_picture("Größe");
  EXPECT_GT(dog.count_nonzero().item<int64_t>(), 0);
  EXPECT_FALSE(at::equal(dog, label_picture("Grüße"))) << "other letters, another picture";
  EXPECT_FALSE(at::equal(dog, label_picture("Gr??e"))) << "letters, not question marks";
  EXPECT_FALSE(at::equal(label_picture("собака"), label_picture("кошка")));
  // A character that no font has is spelt out, so that labels stay apart.
  EXPECT_FALSE(at::equal(label_picture("\xf3\xb0\x80\x81"), label_picture("\xf3\xb0\x80\x82")));
  EXPECT_GT(label_picture("\xff\xfe").count_nonzero().item<int64_t>(), 0) << "no UTF-8";
}

TEST(Unicode, SpellsOutWhatAsciiHasNot) {
  EXPECT_EQ(data::spell_in_ascii("Gr\xc3\xb6\xc3\x9f"
                                 "e \xe4\xba\xba 1"),
            "Gr[U+00F6][U+00DF]e [U+4EBA] 1");
  EXPECT_EQ(data::spell_in_ascii("\xf0\x9f\x98\x80"), "[U+1F600]");
  for (const char* broken : {"\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\x01"})
    EXPECT_EQ(data::spell_in_ascii(broken).find("[U+FFFD]"), 0U) << broken;
  EXPECT_TRUE(data::is_ascii("person 3"));
}

TEST(DrawOverlay, RefusesMasksOfAnotherSize) {
  const at::Tensor frame = at::zeros({10, 12, 3}, at::kByte);
  EXPECT_THROW(draw_overlay(frame, {{at::ones({12, 10}, at::kBool), 1, "a", {}}}), ShapeError);
}

}  // namespace
}  // namespace tessera::visualisation
