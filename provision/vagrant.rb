# What the Vagrantfile needs and Vagrant does not have: a copy of the checkout without rsync, and a check of versions.

require "rubygems/package"
require "tempfile"

module Lab
  CHECKOUT = File.expand_path("..", __dir__)
  NOT_COPIED = File.readlines(File.join(__dir__, "not-copied"), chomp: true)

  # VirtualBox's version, and the first Vagrant that knows it: Vagrant's CHANGELOG.md.
  VIRTUALBOX = { "7.1" => "2.4.2", "7.2" => "2.4.9" }
  APPLE_SILICON = "7.1.6"  # the first VirtualBox for Apple silicon that docs/teacher.md names
  OTHER = "or choose another provider:  vagrant up --provider=NAME    (docs/teacher.md has a table)"

  # The checkout's files, as paths that begin with "./". In not-copied, such a path is one file; else a name is, anywhere.
  def self.paths(checkout, folder = ".")
    Dir.children(File.join(checkout, folder)).sort.flat_map do |name|
      path = "#{folder}/#{name}"
      next [] if NOT_COPIED.any? { |pattern| pattern == path || File.fnmatch(pattern, name, File::FNM_DOTMATCH) }
      File.directory?(File.join(checkout, path)) ? paths(checkout, path) : [path]
    end
  end

  # Write the checkout as a tar file. Windows has no bit for "may be executed", and git may have put CRLF there for LF:
  # in the guest, a file that begins with #! is a program, and a text file has the line ends of Linux.
  def self.pack(checkout, output)
    Gem::Package::TarWriter.new(output) do |tar|
      paths(checkout).each do |path|
        content = File.binread(File.join(checkout, path))
        content.gsub!("\r\n".b, "\n".b) unless content.include?("\0".b)
        mode = content.start_with?("#!") ? 0o755 : 0o644
        tar.add_file_simple(path, mode, content.bytesize) { |file| file.write(content) }
      end
    end
  end

  # The provider of this command: the option's, that of the machines that were made, the environment's, Vagrant's default.
  # Vagrant itself would go from a VirtualBox that does not fit to another provider, without a word; here one is chosen.
  def self.provider(arguments, checkout)
    option = arguments.join("\n")[/^--provider[=\n](.+)$/, 1]
    made = Dir[File.join(checkout, ".vagrant/machines/*/*/id")].first
    wanted = [option, made && File.basename(File.dirname(made)), ENV["VAGRANT_DEFAULT_PROVIDER"], "virtualbox"]
    wanted.compact.find { |name| !name.empty? }
  end

  # The sentence for somebody whose VirtualBox, as `VBoxManage --version` prints it, is too old for this laptop, or too
  # new for this Vagrant; nil if neither is so, or if there is no VirtualBox.
  def self.unfit(vagrant, virtualbox, apple_silicon)
    version = virtualbox.to_s[/\A\d+\.\d+\.\d+/] or return
    if apple_silicon && Gem::Version.new(version) < Gem::Version.new(APPLE_SILICON)
      return "On Apple silicon, VirtualBox #{APPLE_SILICON} or later is needed, and this is VirtualBox #{version}.\n" \
        "Install a later VirtualBox (https://www.virtualbox.org/wiki/Downloads), #{OTHER}"
    end
    wanted = VIRTUALBOX[version[/\A\d+\.\d+/]]
    return if !wanted || Gem::Version.new(vagrant) >= Gem::Version.new(wanted)
    "VirtualBox #{version} needs Vagrant #{wanted} or later, and this is Vagrant #{vagrant}.\n" \
      "Install a later Vagrant (https://developer.hashicorp.com/vagrant/install), " \
      "#{"or VirtualBox 7.0, " unless apple_silicon}#{OTHER}"
  end

  def self.virtualbox
    folder = ENV["VBOX_MSI_INSTALL_PATH"]  # on Windows VBoxManage is rarely on PATH
    IO.popen([folder ? File.join(folder, "VBoxManage") : "VBoxManage", "--version"], err: File::NULL, &:read)
  rescue SystemCallError
    nil
  end

  # The processor's own word: a Vagrant for Intel, translated by Rosetta, would see x86_64.
  def self.apple_silicon?
    RUBY_PLATFORM.include?("darwin") && IO.popen(%w[sysctl -n hw.optional.arm64], err: File::NULL, &:read).to_i == 1
  end

  def self.verb
    ARGV.find { |word| !word.start_with?("-") }
  end

  def self.check_versions
    Vagrant.require_version ">= 2.3.4"  # Debian 12's, with which the lab was tried
    return unless %w[up reload provision].include?(verb) && provider(ARGV, CHECKOUT) == "virtualbox"
    sentence = unfit(Vagrant::VERSION, virtualbox, apple_silicon?)
    abort sentence if sentence
  end

  # A box as Vagrant wants to have it: the path of a file, or an address. Vagrant takes other words for a name in a registry.
  def self.box_url(box)
    return File.expand_path(box) if File.file?(box)
    return box if verb != "up" || box.include?("://")
    abort "LAB_BOX_URL names #{box}, and there is no such file.\n" \
      "Build it:  make box    or give the address of a box, https://..."
  end

  # The SHA-256 sum that the box must have: LAB_BOX_SHA256, or what lies beside a file; nil if there is neither.
  def self.box_sum(box)
    ENV["LAB_BOX_SHA256"] || (File.file?("#{box}.sha256") ? File.read("#{box}.sha256").split.first : nil)
  end

  # `vagrant provision --provision-with checkout` runs this alone.
  class Provisioner < (defined?(Vagrant) ? Vagrant.plugin("2", :provisioner) : Object)
    NEW = "/var/lib/loginuid-lab/new"
    UNPACK = "set -e; rm -rf #{NEW}; mkdir -p #{NEW}; tar -C #{NEW} --no-same-owner -xf /tmp/lab-checkout.tar; " \
      "rm /tmp/lab-checkout.tar; bash #{NEW}/provision/sync.sh #{NEW} /vagrant"

    def provision
      begun = Time.now
      file = Tempfile.new("lab-checkout", binmode: true)
      Lab.pack(CHECKOUT, file)
      file.close
      @machine.communicate.upload(file.path, "/tmp/lab-checkout.tar")
      @machine.communicate.sudo(UNPACK) { |_stream, text| @machine.ui.detail(text.chomp) }
      # tools/where looks for files that are younger than this stamp.
      stamp = @machine.data_dir.join("checkout").to_s
      File.write(stamp, "")
      File.utime(begun, begun, stamp)
    ensure
      file.unlink if file
    end
  end

  if defined?(Vagrant)
    class Plugin < Vagrant.plugin("2")
      name "loginuid-lab"
      provisioner("checkout") { Provisioner }
    end
  end
end
