/** What the views draw with: Preact's elements and hooks, written as `html` templates. */
export {
  html,
  render,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "./vendor/preact.js";
