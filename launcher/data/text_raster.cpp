#include "launcher/data/text_raster.h"

#include <fontconfig/fontconfig.h>
#include <ft2build.h>
#include FT_FREETYPE_H
#include <raqm.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "launcher/data/unicode.h"

namespace tessera::data {
namespace {

template <auto Free>
struct Release {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};

using Pattern = std::unique_ptr<FcPattern, Release<FcPatternDestroy>>;
using CharSet = std::unique_ptr<FcCharSet, Release<FcCharSetDestroy>>;
using Layout = std::unique_ptr<raqm_t, Release<raqm_destroy>>;

constexpr int kUnitsPerPixel = 64;  // of FreeType

/// The fonts of this machine; those in use stay open. Not safe to use from several threads.
class Fonts {
 public:
  Fonts() : config_(FcInitLoadConfigAndFonts()) {
    if (FT_Init_FreeType(&library_) != 0) library_ = nullptr;
  }
  ~Fonts() {
    for (const auto& [file, face] : faces_) FT_Done_Face(face);
    if (library_ != nullptr) FT_Done_FreeType(library_);
    if (config_ != nullptr) FcConfigDestroy(config_);
  }
  Fonts(const Fonts&) = delete;
  Fonts& operator=(const Fonts&) = delete;

  /// A font that has the character, or null.
  FT_Face face_of(char32_t character) {
    const auto [found, is_new] = face_of_character_.emplace(character, nullptr);
    if (is_new) found->second = find(character);
    return found->second;
  }

 private:
  FT_Face find(char32_t character) {
    if (config_ == nullptr || library_ == nullptr) return nullptr;
    const CharSet wanted(FcCharSetCreate());
    FcCharSetAddChar(wanted.get(), character);
    const Pattern pattern(FcPatternCreate());
    FcPatternAddString(pattern.get(), FC_FAMILY, reinterpret_cast<const FcChar8*>("sans-serif"));
    FcPatternAddCharSet(pattern.get(), FC_CHARSET, wanted.get());
    FcPatternAddBool(pattern.get(), FC_SCALABLE, FcTrue);
    FcPatternAddBool(pattern.get(), FC_COLOR, FcFalse);  // emoji are drawn in one colour
    FcConfigSubstitute(config_, pattern.get(), FcMatchPattern);
    FcDefaultSubstitute(pattern.get());
    FcResult result = FcResultNoMatch;
    const Pattern match(FcFontMatch(config_, pattern.get(), &result));
    if (!match) return nullptr;
    FcCharSet* has = nullptr;
    if (FcPatternGetCharSet(match.get(), FC_CHARSET, 0, &has) != FcResultMatch ||
        FcCharSetHasChar(has, character) == FcFalse)
      return nullptr;
    FcChar8* file = nullptr;
    int index = 0;
    if (FcPatternGetString(match.get(), FC_FILE, 0, &file) != FcResultMatch) return nullptr;
    FcPatternGetInteger(match.get(), FC_INDEX, 0, &index);
    return open(reinterpret_cast<const char*>(file), index);
  }

  FT_Face open(const std::string& file, int index) {
    const auto [found, is_new] = faces_.emplace(std::pair(file, index), nullptr);
    if (!is_new) return found->second;
    FT_Face face = nullptr;
    if (FT_New_Face(library_, file.c_str(), index, &face) == 0 && FT_IS_SCALABLE(face)) {
      found->second = face;
      return face;
    }
    if (face != nullptr) FT_Done_Face(face);
    faces_.erase(found);
    return nullptr;
  }

  FcConfig* config_;
  FT_Library library_ = nullptr;
  std::map<std::pair<std::string, int>, FT_Face> faces_;
  std::map<char32_t, FT_Face> face_of_character_;
};

/// A glyph's pixels and where they go, relative to the start of the baseline.
struct Glyph {
  cv::Mat coverage;
  int left = 0, top = 0;
};

cv::Mat pixels_of(const FT_Bitmap& bitmap) {
  const cv::Size size(static_cast<int>(bitmap.width), static_cast<int>(bitmap.rows));
  if (size.empty() || bitmap.pixel_mode != FT_PIXEL_MODE_GRAY) return {};
  return cv::Mat(size, CV_8UC1, bitmap.buffer, static_cast<size_t>(bitmap.pitch)).clone();
}

/// Characters that have a font, with those that have none spelt out.
std::u32string drawable(const std::u32string& text, Fonts& fonts) {
  std::u32string result;
  for (const char32_t character : text) {
    if (fonts.face_of(character) != nullptr) {
      result += character;
      continue;
    }
    for (const char c : code_point_name(character)) result += static_cast<unsigned char>(c);
  }
  return result;
}

std::vector<Glyph> lay_out(const std::u32string& text, int size, Fonts& fonts, int& width) {
  std::vector<uint32_t> characters(text.begin(), text.end());
  const Layout layout(raqm_create());
  if (!layout || !raqm_set_text(layout.get(), characters.data(), characters.size())) return {};
  for (size_t i = 0; i < characters.size(); ++i) {
    const FT_Face face = fonts.face_of(text[i]);
    if (face == nullptr) return {};  // not even for letters: there is no font
    FT_Set_Pixel_Sizes(face, 0, static_cast<FT_UInt>(size));
    if (!raqm_set_freetype_face_range(layout.get(), face, i, 1)) return {};
  }
  if (!raqm_layout(layout.get())) return {};
  size_t count = 0;
  const raqm_glyph_t* const glyphs = raqm_get_glyphs(layout.get(), &count);
  std::vector<Glyph> result;
  int pen = 0;
  for (size_t i = 0; i < count; ++i) {
    const raqm_glyph_t& glyph = glyphs[i];
    if (FT_Load_Glyph(glyph.ftface, glyph.index, FT_LOAD_RENDER) == 0) {
      const FT_GlyphSlot slot = glyph.ftface->glyph;
      result.push_back({pixels_of(slot->bitmap),
                        (pen + glyph.x_offset) / kUnitsPerPixel + slot->bitmap_left,
                        -glyph.y_offset / kUnitsPerPixel - slot->bitmap_top});
    }
    pen += glyph.x_advance;
  }
  width = (pen + kUnitsPerPixel - 1) / kUnitsPerPixel;
  return result;
}

TextRaster join_glyphs(const std::vector<Glyph>& glyphs, int width) {
  cv::Rect bounds(0, 0, width, 0);
  for (const Glyph& glyph : glyphs)
    if (!glyph.coverage.empty())
      bounds |= cv::Rect(cv::Point(glyph.left, glyph.top), glyph.coverage.size());
  if (bounds.empty()) return {};
  TextRaster raster{cv::Mat::zeros(bounds.size(), CV_8UC1), std::max(0, bounds.br().y)};
  for (const Glyph& glyph : glyphs) {
    if (glyph.coverage.empty()) continue;
    cv::Mat place = raster.coverage(
        cv::Rect(cv::Point(glyph.left, glyph.top) - bounds.tl(), glyph.coverage.size()));
    cv::max(place, glyph.coverage, place);  // accents overlap their letters
  }
  return raster;
}

}  // namespace

TextRaster draw_text_raster(const std::string& text, int size) {
  static std::mutex mutex;
  static Fonts fonts;
  const std::lock_guard lock(mutex);
  int width = 0;
  const auto glyphs = lay_out(drawable(decode_utf8(text), fonts), size, fonts, width);
  return join_glyphs(glyphs, width);
}

}  // namespace tessera::data
