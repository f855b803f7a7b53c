// Files and folders that a person drops or chooses.

export interface ChosenFile {
  /** The path from the folder. */
  path: string;
  file: File;
}

/** An archive, or the files of a folder. */
export type Chosen =
  | { kind: "archive"; name: string; file: File }
  | { kind: "folder"; name: string; files: ChosenFile[]; hasTowerfile: boolean };

export const TOWERFILE = "Towerfile";
export const IGNORE = ".tinpotignore";
/** The most files of a folder that the server selects from. */
const FILES_MAX = 100_000;

const isArchive = (name: string): boolean => /\.(tar\.gz|tgz)$/i.test(name);

/** Returns the files of a dialog that chooses an archive or a folder. */
export function chosenFiles(files: readonly File[]): Chosen {
  const [first] = files;
  if (first === undefined) throw new Error("The folder has no files.");
  if (files.length === 1 && first.webkitRelativePath === "" && isArchive(first.name))
    return { kind: "archive", name: first.name, file: first };
  const list = files.map((file) => {
    const path = file.webkitRelativePath || `/${file.name}`;
    return { path: path.slice(path.indexOf("/") + 1), file };
  });
  return folderOf(first.webkitRelativePath.split("/")[0] ?? "", list);
}

/** Returns what was dropped: an archive, a folder, or the files of one. */
export async function droppedFiles(data: DataTransfer): Promise<Chosen> {
  // Browsers empty the list when the handler of the event returns.
  const entries = [...data.items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  const [first] = entries;
  // Some browsers tell only files.
  if (first === undefined && data.files.length > 0) return chosenFiles([...data.files]);
  if (first === undefined) throw new Error("Drop a folder or a .tar.gz file.");
  if (entries.length === 1 && isFile(first) && isArchive(first.name))
    return { kind: "archive", name: first.name, file: await fileOf(first) };
  const files: ChosenFile[] = [];
  if (entries.length === 1 && isFolder(first)) {
    await collect(first, "", files);
    return folderOf(first.name, files);
  }
  for (const entry of entries) {
    if (isFolder(entry)) await collect(entry, `${entry.name}/`, files);
    else if (isFile(entry)) files.push({ path: entry.name, file: await fileOf(entry) });
  }
  return folderOf("", files);
}

/** Returns true for a file that may have Python actions, by the rule of `tinpot deploy`. */
const mayHaveActions = (path: string): boolean =>
  path.endsWith(".py") && path.split("/").length <= 2;

/** Returns the name of an app that is most like that of its folder, as `tinpot deploy` does. */
export function appNameOf(folder: string): string {
  const words = folder.toLowerCase().split(/[^a-z0-9]+/);
  return words.filter((word) => word !== "").join("-");
}

function folderOf(name: string, files: ChosenFile[]): Chosen {
  if (files.length > FILES_MAX)
    throw new Error(
      `The folder must have at most ${FILES_MAX.toLocaleString("en")} files: use tinpot deploy.`,
    );
  const hasTowerfile = files.some(({ path }) => path === TOWERFILE);
  if (!hasTowerfile && !files.some(({ path }) => mayHaveActions(path)))
    throw new Error(
      `There is no ${TOWERFILE} and no Python file in the folder: choose the folder of an app, one of Python files with @action functions, or a .tar.gz file.`,
    );
  return { kind: "folder", name, files, hasTowerfile };
}

const isFile = (entry: FileSystemEntry): entry is FileSystemFileEntry => entry.isFile;
const isFolder = (entry: FileSystemEntry): entry is FileSystemDirectoryEntry => entry.isDirectory;

const fileOf = (entry: FileSystemFileEntry): Promise<File> =>
  new Promise((done, failed) => entry.file(done, failed));

async function collect(
  folder: FileSystemDirectoryEntry,
  below: string,
  files: ChosenFile[],
): Promise<void> {
  const reader = folder.createReader();
  for (;;) {
    // Each call returns some entries, and none at the end.
    const some = await new Promise<FileSystemEntry[]>((done, failed) =>
      reader.readEntries(done, failed),
    );
    if (some.length === 0 || files.length > FILES_MAX) return;
    for (const entry of some) {
      const path = below + entry.name;
      if (isFolder(entry)) await collect(entry, `${path}/`, files);
      else if (isFile(entry)) files.push({ path, file: await fileOf(entry) });
    }
  }
}

/** Returns the text of a file of a folder; empty if there is none. */
export async function textIn(files: readonly ChosenFile[], path: string): Promise<string> {
  return (await files.find((one) => one.path === path)?.file.text()) ?? "";
}
