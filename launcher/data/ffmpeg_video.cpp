#include "launcher/data/ffmpeg_video.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <opencv2/core.hpp>
#include <optional>

#include "launcher/data/turn.h"

namespace tessera::data {
namespace {

template <auto Free>
struct FreePointee {
  template <class T>
  void operator()(T* pointer) const {
    Free(&pointer);
  }
};

using Demuxer = std::unique_ptr<AVFormatContext, FreePointee<avformat_close_input>>;
using Codec = std::unique_ptr<AVCodecContext, FreePointee<avcodec_free_context>>;
using Packet = std::unique_ptr<AVPacket, FreePointee<av_packet_free>>;
using Frame = std::unique_ptr<AVFrame, FreePointee<av_frame_free>>;
struct FreeScaler {
  void operator()(SwsContext* scaler) const { sws_freeContext(scaler); }
};
using Scaler = std::unique_ptr<SwsContext, FreeScaler>;

/// A demuxer that finds one broken piece after the other is at the end.
constexpr int kMostFailures = 100;
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

std::string error_text(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof(text));
  return text;
}

std::string size_text(int width, int height) {
  return std::to_string(width) + "x" + std::to_string(height);
}

/// The turn of a stream's display matrix. FFmpeg states it as x' = a x + c y, y' = b x + d y with y
/// downwards. Nothing where it is no multiple of a quarter turn.
std::optional<Turn> turn_of_matrix(const int32_t* matrix) {
  const double a = matrix[0], b = matrix[1], c = matrix[3], d = matrix[4];
  constexpr double kNothing = 0.01;  // part of the larger entries
  const double straight = std::min(std::abs(a), std::abs(d));
  const double crossed = std::min(std::abs(b), std::abs(c));
  if (straight > 0 && std::max(std::abs(b), std::abs(c)) < kNothing * straight)
    return Turn{false, a < 0, d < 0};
  if (crossed > 0 && std::max(std::abs(a), std::abs(d)) < kNothing * crossed)
    return Turn{true, c < 0, b < 0};
  return std::nullopt;
}

bool is_mp4(const std::string& file) {
  char head[8] = {};
  std::ifstream(file, std::ios::binary).read(head, sizeof(head));
  return std::string_view(head + 4, 4) == "ftyp";
}

const uint8_t* display_matrix(const AVStream& stream) {
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
  const AVPacketSideData* const data =
      av_packet_side_data_get(stream.codecpar->coded_side_data, stream.codecpar->nb_coded_side_data,
                              AV_PKT_DATA_DISPLAYMATRIX);
  return data == nullptr ? nullptr : data->data;
#else
  return av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, nullptr);
#endif
}

class FfmpegVideo : public VideoDecoder {
 public:
  /// out: why the file cannot be decoded; empty where it can.
  std::string open(const std::string& file, int num_threads) {
    AVFormatContext* demuxer = nullptr;
    AVDictionary* options = nullptr;
    // A playlist must not make the program read from the network.
    av_dict_set(&options, "protocol_whitelist", "file", 0);
    const int opened = avformat_open_input(&demuxer, file.c_str(), nullptr, &options);
    av_dict_free(&options);
    if (opened < 0)
      return opened == AVERROR_INVALIDDATA && is_mp4(file)
                 ? "an MP4 file without its index, as a file that was cut off"
                 : error_text(opened);
    demuxer_.reset(demuxer);
    // FFmpeg would draw the letters of a text file.
    if (std::string(demuxer->iformat->name) == "tty") return "a text file";
    if (const int found = avformat_find_stream_info(demuxer, nullptr); found < 0)
      return error_text(found);
    const AVCodec* codec = nullptr;
    index_ = av_find_best_stream(demuxer, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
    if (index_ < 0) return "no video stream that can be decoded";
    codec_.reset(avcodec_alloc_context3(codec));
    if (!codec_ || avcodec_parameters_to_context(codec_.get(), stream().codecpar) < 0)
      return "a video stream of unknown parameters";
    codec_->thread_count = num_threads;
    codec_->pkt_timebase = stream().time_base;
    if (const int ready = avcodec_open2(codec_.get(), codec, nullptr); ready < 0)
      return error_text(ready);
    if (const uint8_t* const matrix = display_matrix(stream())) {
      const auto turn = turn_of_matrix(reinterpret_cast<const int32_t*>(matrix));
      if (!turn) return "a display matrix that turns by no multiple of 90 degrees";
      turn_ = *turn;
    }
    packet_.reset(av_packet_alloc());
    frame_.reset(av_frame_alloc());
    read_statements();
    return packet_ && frame_ ? "" : "no memory";
  }

  Step next() override {
    if (has_held_frame_) {
      has_held_frame_ = false;
      return Step::kFrame;
    }
    while (true) {
      const int received = avcodec_receive_frame(codec_.get(), frame_.get());
      if (received == 0) return take_frame();
      if (received == AVERROR_EOF) return finish();
      if (received != AVERROR(EAGAIN)) {
        if (++failures_ > kMostFailures) return finish();
        return damaged("a frame cannot be decoded: " + error_text(received));
      }
      if (const auto met = feed()) return damaged(*met, packet_time_);
    }
  }

  cv::Mat frame() override {
    const AVFrame& from = *frame_;
    const auto format = static_cast<AVPixelFormat>(from.format);
    SwsContext* const scaler =
        sws_getCachedContext(scaler_.release(), from.width, from.height, format, from.width,
                             from.height, AV_PIX_FMT_RGB24, SWS_BICUBIC, nullptr, nullptr, nullptr);
    scaler_.reset(scaler);
    if (scaler == nullptr) throw_no_memory();
    set_colours(from, *scaler);
    // Its rows are aligned: the converter may write a few bytes beyond a row's pixels.
    const Frame rgb(av_frame_alloc());
    rgb->format = AV_PIX_FMT_RGB24;
    rgb->width = from.width;
    rgb->height = from.height;
    if (av_frame_get_buffer(rgb.get(), 0) < 0) throw_no_memory();
    sws_scale(scaler, from.data, from.linesize, 0, from.height, rgb->data, rgb->linesize);
    const cv::Mat shared(from.height, from.width, CV_8UC3, rgb->data[0],
                         static_cast<size_t>(rgb->linesize[0]));
    return turn_.is_none() ? shared.clone() : turn_.apply(shared);
  }

  double frame_time() const override {
    return frame_->best_effort_timestamp == AV_NOPTS_VALUE ? kUnknown
                                                           : seconds(frame_->best_effort_timestamp);
  }

  const std::string& damage() const override { return damage_; }
  double damage_time() const override { return damage_time_; }
  int64_t stated_frames() const override { return stated_frames_; }

 private:
  AVStream& stream() const { return *demuxer_->streams[index_]; }
  double seconds(int64_t ticks) const {
    return static_cast<double>(ticks) * av_q2d(stream().time_base);
  }

  [[noreturn]] static void throw_no_memory() {
    throw cv::Exception(cv::Error::StsNoMem, "no memory for a frame", "frame", __FILE__, __LINE__);
  }

  /// in: time in seconds, where it is known.
  Step damaged(std::string what, double time = kUnknown) {
    damage_ = std::move(what);
    damage_time_ = time;
    return Step::kDamage;
  }

  Step take_frame() {
    failures_ = 0;
    const cv::Size size(frame_->width, frame_->height);
    if (size_.empty()) size_ = size;
    if (size != size_) {
      size_ = size;
      has_held_frame_ = true;
      return damaged("the size of the frames changes to " + size_text(size.width, size.height),
                     frame_time());
    }
    if ((frame_->flags & AV_FRAME_FLAG_CORRUPT) == 0 && frame_->decode_error_flags == 0)
      return Step::kFrame;
    has_held_frame_ = true;
    return damaged("a frame is damaged, and the decoder filled in what is missing", frame_time());
  }

  /// Gives the decoder one more packet, or the end. out: damage that was met.
  std::optional<std::string> feed() {
    packet_time_ = kUnknown;
    const int read = av_read_frame(demuxer_.get(), packet_.get());
    if (read < 0) {
      const bool ends = read == AVERROR_EOF || ++failures_ > kMostFailures;
      if (ends) avcodec_send_packet(codec_.get(), nullptr);
      if (read == AVERROR_EOF) return std::nullopt;
      return "reading failed: " + error_text(read);
    }
    note_end_of(*packet_);
    if (packet_->stream_index != index_) {
      av_packet_unref(packet_.get());
      return std::nullopt;
    }
    ++packets_;
    packet_time_ = packet_->pts == AV_NOPTS_VALUE ? kUnknown : seconds(packet_->pts);
    const bool is_part = (packet_->flags & AV_PKT_FLAG_CORRUPT) != 0;
    const int sent = avcodec_send_packet(codec_.get(), packet_.get());
    av_packet_unref(packet_.get());
    if (is_part) return "a frame is stored in part";
    if (sent >= 0 || sent == AVERROR_EOF) return std::nullopt;
    return "a frame cannot be decoded: " + error_text(sent);
  }

  /// What the container states about the video's end.
  void read_statements() {
    stated_frames_ = stream().nb_frames;
    stated_packets_ = stated_frames_;
    // Of MP4 with an edit list, frames that are not shown belong to the count, but are not stored
    // in the index.
    const int entries = avformat_index_get_entries_count(&stream());
    if (entries > 0) stated_packets_ = std::min<int64_t>(stated_packets_, entries);
    const bool states_duration = demuxer_->duration > 0 && demuxer_->duration_estimation_method !=
                                                               AVFMT_DURATION_FROM_BITRATE;
    if (!states_duration) return;
    stated_end_ = static_cast<double>(demuxer_->duration) / AV_TIME_BASE;
    if (demuxer_->start_time != AV_NOPTS_VALUE)
      stated_end_ += static_cast<double>(demuxer_->start_time) / AV_TIME_BASE;
    const AVRational rate = stream().avg_frame_rate;
    if (stated_frames_ == 0 && rate.num > 0 && rate.den > 0)
      stated_frames_ =
          std::llround(static_cast<double>(demuxer_->duration) / AV_TIME_BASE * av_q2d(rate));
  }

  void note_end_of(const AVPacket& packet) {
    const int64_t start = packet.pts != AV_NOPTS_VALUE ? packet.pts : packet.dts;
    if (start == AV_NOPTS_VALUE) return;
    const double unit = av_q2d(demuxer_->streams[packet.stream_index]->time_base);
    last_end_ = std::max(last_end_, static_cast<double>(start + packet.duration) * unit);
  }

  /// A container that states more than it holds was cut off. Time decides, too: some containers
  /// count frames that repeat the one before and are stored as nothing, and some count none.
  bool is_cut_off() const {
    constexpr double kTolerance = 0.5;  // seconds
    const AVRational rate = stream().avg_frame_rate;
    const double frame = rate.num > 0 && rate.den > 0 ? 1 / av_q2d(rate) : 0;
    const bool lacks_time =
        stated_end_ > 0 && last_end_ > 0 && stated_end_ > last_end_ + 1.5 * frame;
    if (stated_packets_ > 0) return packets_ < stated_packets_ && (lacks_time || stated_end_ <= 0);
    return lacks_time && stated_end_ > last_end_ + kTolerance;
  }

  Step finish() {
    const bool is_new = !has_finished_;
    has_finished_ = true;
    return is_new && is_cut_off() ? damaged("the file is cut off") : Step::kEnd;
  }

  /// The matrix and range that the frame states, as ffmpeg converts.
  static void set_colours(const AVFrame& from, SwsContext& scaler) {
    int *inverse = nullptr, *table = nullptr;
    int from_range = 0, to_range = 0, brightness = 0, contrast = 0, saturation = 0;
    if (sws_getColorspaceDetails(&scaler, &inverse, &from_range, &table, &to_range, &brightness,
                                 &contrast, &saturation) < 0)
      return;  // of RGB frames there is nothing to choose
    if (from.color_range != AVCOL_RANGE_UNSPECIFIED)
      from_range = from.color_range == AVCOL_RANGE_JPEG;
    const int* const coefficients =
        from.colorspace == AVCOL_SPC_UNSPECIFIED ? inverse : sws_getCoefficients(from.colorspace);
    sws_setColorspaceDetails(&scaler, coefficients, from_range, table, to_range, brightness,
                             contrast, saturation);
  }

  Demuxer demuxer_;
  Codec codec_;
  Packet packet_;
  Frame frame_;
  Scaler scaler_;
  Turn turn_;
  int index_ = -1;
  cv::Size size_;
  std::string damage_;
  double damage_time_ = kUnknown;
  double packet_time_ = kUnknown;  // of the packet read last
  int64_t stated_frames_ = 0;      // by the container
  int64_t stated_packets_ = 0;     // that it should hold; 0: unknown
  double stated_end_ = 0;          // seconds; 0: unknown
  double last_end_ = 0;            // of the packets of all streams, seconds
  int64_t packets_ = 0;            // of the video so far
  int failures_ = 0;               // without a frame between
  bool has_held_frame_ = false;
  bool has_finished_ = false;
};

}  // namespace

OpenedVideo open_with_ffmpeg(const std::string& file, int num_threads) {
  // FFmpeg writes its complaints to standard error; ours say the same with a place. OpenCV's writer
  // of videos sets the level, too.
  av_log_set_level(AV_LOG_QUIET);
  auto video = std::make_unique<FfmpegVideo>();
  const std::string problem = video->open(file, num_threads);
  if (!problem.empty()) return {nullptr, problem};
  return {std::move(video), ""};
}

std::string ffmpeg_version() {
  const unsigned version = avformat_version();
  return "FFmpeg (libavformat " + std::to_string(AV_VERSION_MAJOR(version)) + "." +
         std::to_string(AV_VERSION_MINOR(version)) + "." +
         std::to_string(AV_VERSION_MICRO(version)) + ")";
}

}  // namespace tessera::data
